"""What Ctrl-C does to a command, before and beside what a sweep makes of it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 128 + signal.SIGINT


@contextmanager
def ending_imports() -> Iterator[None]:
    """Within it Ctrl-C amid an import ends the process at once; elsewhere it is a KeyboardInterrupt, as always.

    An exception amid an import meets code that does not expect it: torch, in C++, aborts. Nothing changes where Ctrl-C
    is ignored or served by others already, or in a thread, which can set no handler.
    """
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def interrupted(number: int, frame: FrameType | None) -> None:
    """The handler of the signal, where `frame` runs. Raises KeyboardInterrupt, or ends the process by the signal."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        frame = frame.f_back
    raise KeyboardInterrupt
