"""The lanes and graphs of a GPU.

A lane has a stream, and a pool of memory that its graphs share: they never run at the same time, and keep nothing in it
from one replay to the next. What is there before the capture (parameters, the optimizer's state, sums, buffers) lies
outside of the pool.

Nothing in this file has been run on a card so far: not the capture, not the streams, not the sizes of memory. What
calls it (`steps`, `packing`, `training`) is tested on a CPU with a device that records a step's operations and repeats
them on the same tensors. `python -m seqbench.bench.running.card` compares on a card what is captured and packed with
what is neither.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import TracebackType
from typing import Any, cast

import torch
from torch import Tensor

from .lanes import Lane, Moment, Reading, Uncapturable

WARM_UPS = 2
"""Steps before the capture: libraries and the optimizer make what they need when they are first called."""


class Cuda:
    """A GPU as a device whose memory runs share."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._idle: list[torch.cuda.Stream] = []  # torch has 32, and gives the first again after the last

    def lane(self) -> Lane:
        stream = self._idle.pop() if self._idle else torch.cuda.Stream(self.device)
        return CudaLane(self.device, stream=stream, give_back=self._idle.append)

    def used(self) -> int:
        free, total = self._memory()
        return total - free

    def free(self) -> int:
        return self._memory()[0]

    def synchronise(self) -> None:
        torch.cuda.synchronize(self.device)

    def _memory(self) -> tuple[int, int]:
        """Free and in all, in bytes, of the whole card; what torch only keeps for later is free."""
        gc.collect()
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(self.device)


class CudaLane(Lane):
    """A stream, and the memory of its graphs. captures: False executes each step as it stands.

    stream: a new one where none is given. give_back: told of the stream when the lane is closed for the first time.
    """

    def __init__(
        self,
        device: torch.device,
        captures: bool = True,
        stream: torch.cuda.Stream | None = None,
        give_back: Callable[[torch.cuda.Stream], None] | None = None,
    ) -> None:
        self.device, self.captures = device, captures
        super().__init__()
        self.stream = torch.cuda.Stream(device) if stream is None else stream
        self.pool = torch.cuda.graph_pool_handle()
        self._give_back = give_back
        self._entered_stream: Any = None

    def __enter__(self) -> Lane:
        self._entered_stream = torch.cuda.stream(self.stream)
        self._entered_stream.__enter__()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._entered_stream.__exit__(kind, error, trace)

    def capture(self, work: Callable[[], None], generator: torch.Generator | None) -> Callable[[], None]:
        outside = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(outside)
        try:
            with torch.cuda.stream(self.stream):
                for _ in range(WARM_UPS):
                    work()
                self._rehearse(work)
                self.stream.synchronize()
            graph = cast(Any, torch.cuda.CUDAGraph())  # the stubs lack the generator
            if generator is not None:  # else each replay would draw what was drawn at the capture
                graph.register_generator_state(generator)
            # thread_local: another thread, which listens to the parent, does nothing on the card
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
                work()
        finally:  # where it cannot be captured, the step goes on outside with what the warm-ups have left
            outside.wait_stream(self.stream)
        replay: Callable[[], None] = graph.replay
        return replay

    @staticmethod
    def _rehearse(work: Callable[[], None]) -> None:
        """Once more, and whatever makes the host wait is an error: found here, it breaks no capture."""
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            work()
        except RuntimeError as error:
            if "synchronizing" not in str(error):
                raise
            raise Uncapturable(f"a step makes the host wait for the device: {error}") from error
        finally:
            torch.cuda.set_sync_debug_mode(before)

    def read(self, numbers: Tensor) -> Reading:
        host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
        host.copy_(numbers, non_blocking=True)
        return _Read(host)

    def mark(self) -> Moment:
        return _Event()

    def close(self) -> None:
        self.stream.synchronize()
        if self._give_back is not None:
            give_back, self._give_back = self._give_back, None
            give_back(self.stream)


class _Event:
    """The moment at which all that was launched on the present stream so far is done."""

    def __init__(self) -> None:
        self._event = torch.cuda.Event(blocking=True)  # the host sleeps while it waits
        self._event.record()

    def ready(self) -> bool:
        return self._event.query()

    def wait(self) -> None:
        self._event.synchronize()


class _Read(_Event):
    """Numbers on their way to the host."""

    def __init__(self, host: Tensor) -> None:
        super().__init__()
        self._host = host

    def values(self) -> list[float]:
        self.wait()
        return self._host.flatten().tolist()
