"""All answers of a folder of experiments written anew: tables, figures, the ledger, and their copies in texts.

`make answers` calls it after a change of the rules or of the rows; nothing is trained and no row is touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from .. import atomic
from ..experiments import config, registry
from . import publishing

COPY = re.compile(
    r"(?P<comment><!-- The table is that of (?P<path>\S+); a test compares them\. -->\n)(?P<table>(?:\|.*\n)+)"
)
"""A table of a text that is copied: the comment above it names the file whose first table it is."""
SENTENCE = re.compile(
    r"(?P<comment><!-- The sentence is that of (?P<path>\S+); a test compares them\. -->\n)(?P<sentence>.*\n)"
)
"""A line of a text that is copied: the first line of the file that the comment names."""

TEXTS = ("README.md", "results/README.md")
"""Texts with copies."""


def write_all(results: Path, *texts: Path) -> Iterator[Path]:
    """Writes the answers of every experiment in `results` that has rows, then the ledger, and in the texts the copies.

    Gives the path of each file that was written. Raises UsageError for an experiment or a row that cannot be read.
    """
    for folder in sorted(path.parent for path in results.glob("*/experiment.yaml")):
        yield from publishing.write_answers(config.load(folder))
    yield from publishing.write_ledger_and_figure(results)
    for path in texts:
        atomic.write(path, with_copies(path.read_text(encoding="utf-8"), results.parent))
        yield path


def with_copies(text: str, root: Path) -> str:
    """The text with each table and line that is copied as its file has it now; `root` is where the paths begin."""
    text = SENTENCE.sub(lambda found: found["comment"] + _first_line(root / found["path"]), text)
    return COPY.sub(lambda found: found["comment"] + _first_table(root / found["path"]), text)


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline()


def _first_table(path: Path) -> str:
    found = re.search(r"(?:^\|.*\n)+", path.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{path}: there is no table in it to copy")
    return found[0]


if __name__ == "__main__":
    for path in write_all(registry.ROOT / "results", *(registry.ROOT / name for name in TEXTS)):
        print(path.relative_to(registry.ROOT))
