"""Figures as files: the same bytes for the same rows, with a digest in them that says which rows these were."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from ..store import Row, signed
from .style import RC

FORMATS = ("png", "svg", "pdf")
FOUND = re.compile(r"seqbench rows ([0-9a-f]{16})")


def digest(rows: Iterable[Row]) -> str:
    """16 hex digits for these rows in this order: of SHA-256 over their sums, one a line.

    The sums are of what the rows say now: one that was edited is another row.
    """
    sums = [signed(row)["sum"] for row in rows]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()[:16]


def save(figure: Figure, stem: Path, rows_digest: str, title: str, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Writes STEM.png, STEM.svg and so on, and returns their paths; `digest_of` reads the digest back.

    Neither a date nor the version of matplotlib goes in, so that two files differ only where the pictures do.
    Raises OSError where a file cannot be written.
    """
    paths = [stem.with_name(f"{stem.name}.{ending}") for ending in formats]
    stem.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(RC):
        for ending, path in zip(formats, paths, strict=True):
            figure.savefig(path, metadata=_metadata(ending, title, f"seqbench rows {rows_digest}"))
    return paths


def as_svg(figure: Figure, rows_digest: str, title: str) -> bytes:
    """The SVG that `save` would write, for a place inside another file."""
    content = io.BytesIO()
    with matplotlib.rc_context(RC):
        figure.savefig(content, format="svg", metadata=_metadata("svg", title, f"seqbench rows {rows_digest}"))
    return content.getvalue()


def _metadata(ending: str, title: str, origin: str) -> dict[str, Any]:
    """Where each format keeps a title and a remark."""
    if ending == "png":
        return {"Title": title, "Source": origin, "Software": None}
    if ending == "svg":
        return {"Title": title, "Source": origin, "Date": None, "Creator": None}
    return {"Title": title, "Subject": origin, "CreationDate": None, "Creator": None, "Producer": None}


def digest_of(path: Path) -> str | None:
    """The digest of the rows that a PNG, SVG or PDF was made of; None where it has none."""
    if path.suffix == ".png":
        with Image.open(path) as image:
            text = str(image.info.get("Source", ""))
    else:
        text = path.read_bytes().decode("latin-1")
    found = FOUND.search(text)
    return found[1] if found else None
