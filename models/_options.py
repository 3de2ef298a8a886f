"""Checks of constructor options: each ValueError names the option, what is allowed, and what was given."""

from __future__ import annotations

from collections.abc import Sequence


def at_least(lowest: int, **options: int) -> None:
    """Raises ValueError for the first option that is below `lowest`."""
    for name, value in options.items():
        if value < lowest:
            raise ValueError(f"{name}: a whole number of at least {lowest} is needed, got {value!r}")


def probability(**options: float) -> None:
    """Raises ValueError for the first option that lies outside [0, 1)."""
    for name, value in options.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}: a probability in [0, 1) is needed, got {value!r}")


def one_of(allowed: Sequence[str], **options: str) -> None:
    """Raises ValueError for the first option that is not among `allowed`."""
    for name, value in options.items():
        if value not in allowed:
            raise ValueError(f"{name}: one of {', '.join(map(repr, allowed))} is needed, got {value!r}")
