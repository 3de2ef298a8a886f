"""What reaches a terminal: texts of users, of rows and of errors as they stand, whatever signs are in them."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TextIO

import rich.console
import typer
from rich.table import Table
from rich.text import Text

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters but for the tab and the end of a line, and halves of characters, which no encoding knows."""
WIDE = 160
"""Columns where standard output is no terminal, so that a pipe gets whole lines."""


def clean(text: str) -> str:
    r"""The text with control characters spelled out: those of a text that somebody wrote must not steer a terminal.

    >>> clean("a \x1b[31mred\x1b[0m name")
    'a \\x1b[31mred\\x1b[0m name'
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Prints a text, cleaned. err: to standard error. nl: with the end of a line."""
    typer.echo(clean(text), err=err, nl=nl)


class Console(rich.console.Console):
    """A console for texts of others: square brackets are no markup, control characters are spelled out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "highlight": False, "emoji": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text that is printed, and every cell of a table, comes by here."""
        return super().render_str(clean(text), **options)

    @property
    def is_live(self) -> bool:
        """Whether somebody watches. FORCE_COLOR asks for colours in a log, not for bars that move."""
        return self.is_terminal and self.file.isatty()


class Unfailing(io.TextIOBase):
    """A stream to a terminal, pipe or file that may go while hours of training go on: from then on nothing is written.

    So a closed window, `| head` and a full disk below a log do not end what they only show.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.lost = stream, False

    def write(self, text: str) -> int:
        if not self.lost:
            try:
                return self.stream.write(text)
            except OSError:
                self._lose()
        return len(text)

    def flush(self) -> None:
        if not self.lost:
            try:
                self.stream.flush()
            except OSError:
                self._lose()

    def isatty(self) -> bool:
        return not self.lost and self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.stream.encoding

    def _lose(self) -> None:
        self.lost = True
        nowhere(self.stream)


def nowhere(stream: TextIO) -> None:
    """Sends what a stream still holds, and all that is written later, to nowhere; else the interpreter's end fails."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def standard_output(unfailing: bool = False) -> Console:
    """Standard output, wide where it is no terminal. unfailing: as of `Unfailing`."""
    file: Any = Unfailing(sys.stdout) if unfailing else None
    return Console(file=file, width=None if sys.stdout.isatty() else WIDE)


def encodable(*streams: TextIO) -> None:
    """Has these streams write `?` for what their encoding lacks, such as an arrow in Latin-1, and not fail."""
    for stream in streams:
        if hasattr(stream, "reconfigure"):  # not where a test, or a notebook, has put something else in its place
            stream.reconfigure(errors="replace")


MANY = 200
"""Lines of a table above which it is printed in plain columns: to fold its cells would take longer than all else."""


def print_columns(header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Prints a table; one of many lines is as wide as its widest cells."""
    if len(lines) <= MANY:
        table = Table(box=None, header_style="bold")
        for name in header:
            table.add_column(name, overflow="fold")
        for line in lines:
            table.add_row(*line)
        standard_output().print(table)
        return
    cells = [[clean(cell).replace("\n", " ") for cell in line] for line in (header, *lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        echo("  ".join(map(str.ljust, line, widths)).rstrip())
