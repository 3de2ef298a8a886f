"""Figures as files: the same bytes for the same rows, with a digest in them that says which rows these were.

They also say which matplotlib has drawn them: another one draws otherwise, and only by the same one can it be told
whether a figure is what its rows give (`alike`).
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ... import atomic
from ...rows.store import Row, checksum
from .style import settings

FORMATS = ("png", "svg", "pdf")
FOUND = re.compile(r"seqbench rows ([0-9a-f]{16})(?:, matplotlib (\S+?)(?=[<)\s]|$))?")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
MADE_NAME = re.compile(r"[0-9a-f]{10,}")
SHIFT = 0.05
"""Points by which a line may lie elsewhere, where another processor has rounded otherwise."""
SHADE, BLOCK, SPOTS = 24, 8, 4
"""Levels of 255 by which a pixel may differ, and how many may differ by more in a square of so many pixels' side."""


def digest(rows: Iterable[Row]) -> str:
    """16 hex digits for these rows in this order: of SHA-256 over their sums, one a line.

    The sums are of what the rows say now: one that was edited is another row.
    """
    sums = [checksum(row) for row in rows]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()[:16]


def save(figure: Figure, stem: Path, rows_digest: str, title: str, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Writes STEM.png, STEM.svg and so on, and returns their paths; `digest_of` reads the digest back.

    No date goes in, so that two files of one matplotlib differ only where the pictures do.
    Raises OSError where a file cannot be written.
    """
    paths = [stem.with_name(f"{stem.name}.{ending}") for ending in formats]
    stem.parent.mkdir(parents=True, exist_ok=True)
    with settings():
        for ending, path in zip(formats, paths, strict=True):
            with atomic.replacing(path) as file:
                figure.savefig(file, format=ending, metadata=_metadata(ending, title, rows_digest))
    return paths


def as_svg(figure: Figure, rows_digest: str, title: str) -> bytes:
    """The SVG that `save` would write, for a place inside another file."""
    content = io.BytesIO()
    with settings():
        figure.savefig(content, format="svg", metadata=_metadata("svg", title, rows_digest))
    return content.getvalue()


def _metadata(ending: str, title: str, rows_digest: str) -> dict[str, Any]:
    """Where each format keeps a title and a remark."""
    origin = f"seqbench rows {rows_digest}, matplotlib {matplotlib.__version__}"
    if ending == "png":
        return {"Title": title, "Source": origin, "Software": None}
    if ending == "svg":
        return {"Title": title, "Source": origin, "Date": None, "Creator": None}
    return {"Title": title, "Subject": origin, "CreationDate": None, "Creator": None, "Producer": None}


def digest_of(path: Path) -> str | None:
    """The digest of the rows that a PNG, SVG or PDF was made of; None where it has none."""
    return _origin(path)[0]


def drawn_by(path: Path) -> str | None:
    """The version of matplotlib that has drawn a figure; None where it does not say."""
    return _origin(path)[1]


def alike(one: Path, other: Path) -> bool:
    """Whether two files of one format show the same, but for roundings of positions.

    Of an SVG the words must be the same and the numbers lie near each other, of a PNG nearly all pixels everywhere; of
    other formats the bytes are compared. A file that cannot be read is not like another.
    """
    if one.read_bytes() == other.read_bytes():
        return True
    try:
        if one.suffix == ".png":
            return _alike_in_pixels(one, other)
        if one.suffix == ".svg":
            words, numbers = zip(*(_taken_apart(path.read_text("utf-8")) for path in (one, other)), strict=True)
            return words[0] == words[1] and bool(np.allclose(numbers[0], numbers[1], rtol=0, atol=SHIFT))
    except (OSError, ValueError):
        pass
    return False


def _alike_in_pixels(one: Path, other: Path) -> bool:
    with Image.open(one) as first, Image.open(other) as second:
        if first.size != second.size:
            return False
        pixels = [np.asarray(image.convert("RGB"), int) for image in (first, second)]
    different = np.abs(pixels[0] - pixels[1]).max(2) > SHADE  # (height, width)
    rows, columns = (np.arange(0, size, BLOCK) for size in different.shape)
    in_blocks = np.add.reduceat(np.add.reduceat(different.astype(int), rows, axis=0), columns, axis=1)
    return bool(in_blocks.max() <= SPOTS)


def _taken_apart(text: str) -> tuple[list[str], list[float]]:
    """The words of an SVG between its numbers, and the numbers; names that matplotlib makes up are left out."""
    text = MADE_NAME.sub("name", text)
    return NUMBER.split(text), [float(number) for number in NUMBER.findall(text)]


def _origin(path: Path) -> tuple[str | None, str | None]:
    if path.suffix == ".png":
        with Image.open(path) as image:
            text = str(image.info.get("Source", ""))
    else:
        text = path.read_bytes().decode("latin-1")
    found = FOUND.search(text)
    return (found[1], found[2]) if found else (None, None)
