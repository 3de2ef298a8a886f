"""The table of the tasks' data: for people (Markdown, as `tasks/README.md` has it) and for programs (records)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ... import atomic
from ...errors import UsageError
from ...experiments.data_facts import Collection, Sizes, TaskData, versions
from .cells import Text
from .writers import Block, Table, markdown

BEGIN, END = "<!-- data table: seqbench list --data --out tasks/README.md -->", "<!-- end of the data table -->"
"""The lines of a Markdown file between which the table stands."""


def blocks(found: Sequence[TaskData]) -> list[Block]:
    """The tables of terms, of splits and preprocessing, and of files, and how versions are kept."""
    return [
        _terms(found),
        _splits(found),
        _files(found),
        "A checksum is of what is in a file: of a .gz of the decompressed bytes, of an archive of the archive itself.",
        f"How versions of tasks are kept. {versions()}",
    ]


def records(found: Iterable[TaskData]) -> list[dict[str, Any]]:
    """One record a task, of plain types, with all that is known of its data."""
    return [
        {
            "task": one.task,
            "what": one.line,
            "version": one.version,
            "variants": list(one.variants),
            "source": one.source,
            "generated": one.generated,
            "data": one.collection.title,
            "origin": one.collection.origin,
            "licence": one.collection.licence,
            "redistribution": one.collection.redistribution,
            "sizes": {counted: sizes._asdict() for counted, sizes in one.sizes.items()},
            "split": one.split,
            "preprocessing": one.preprocessing,
            "files": [{**asdict(file), "urls": list(file.urls)} for file in one.files],
        }
        for one in found
    ]


def write_between_marks(path: Path, found: Sequence[TaskData]) -> None:
    """Puts the table into a Markdown file, between its two marks (`BEGIN`, `END`), and leaves the rest as it is.

    Raises UsageError where the file lacks them.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UsageError(f"{path}: the table goes between the lines {BEGIN} and {END}; the file lacks them")
    atomic.write(path, f"{before}{BEGIN}\n\n{markdown(blocks(found))}\n{END}{after}")


def _terms(found: Iterable[TaskData]) -> Table:
    """One line a collection, with all tasks that it is for."""
    tasks_of: dict[Collection, list[str]] = {}
    for one in found:
        tasks_of.setdefault(one.collection, []).append(one.task)
    lines: list[list[Text]] = [
        [(of.title,), tuple(tasks), (of.origin,), (of.licence,), (of.redistribution,)] for of, tasks in tasks_of.items()
    ]
    header = ["Data", "Tasks", "Source", "Licence", "Who may hand them on"]
    return Table("Where the data come from, and on which terms", header, "l" * len(header), lines, wide=True)


def _splits(found: Iterable[TaskData]) -> Table:
    lines: list[list[Text]] = [
        [
            (one.task,),
            (str(one.version),),
            tuple(f"{_counts(sizes)} {counted}" for counted, sizes in one.sizes.items()),
            (one.split,),
            (one.preprocessing,),
        ]
        for one in found
    ]
    header = ["Task", "Version", "Training / validation / test", "Split", "Preprocessing"]
    return Table("How they are split and prepared", header, "lrlll", lines, wide=True)


def _counts(sizes: Sizes) -> str:
    """The three numbers, with commas between thousands.

    >>> _counts(Sizes(50000, 1000, 1000))
    '50,000 / 1,000 / 1,000'
    """
    return " / ".join(f"{count:,}" for count in sizes)


def _files(found: Iterable[TaskData]) -> Table:
    """One line a file; its folder says whose it is."""
    files = {file.filename: file for one in found for file in one.files}
    lines: list[list[Text]] = [
        [(name, *(f"from {urlsplit(url).hostname}" for url in file.urls[:1])), (file.sha256,)]
        for name, file in files.items()
    ]
    return Table("Files", ["File, and its first home", "SHA-256"], "ll", lines, wide=True)
