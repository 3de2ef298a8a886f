"""Pairs of a source and a target as a person reads them."""

from __future__ import annotations

from typing import Any


def texts(task: Any, seed: int, split: str, start: int, count: int) -> list[tuple[str, str]]:
    """Source and target of pairs, as a person reads them."""
    symbols, sep = task.symbols(), task.separator
    columns = zip(*task.examples(seed, split, start, count), strict=True)
    return [(sep.join(symbols[one] for one in source if one), task.decode(target)) for source, target in columns]
