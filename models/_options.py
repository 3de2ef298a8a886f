"""Checks of constructor options: each ValueError names the option, what is allowed, and what was given."""

from __future__ import annotations

from collections.abc import Sequence

MOST_LAYERS = 1000
"""Of options named `layers` or `levels`; to build more takes longer than a person waits."""


def at_least(lowest: int, **options: int) -> None:
    """Raises ValueError for the first option that is below `lowest`, and for more layers than `MOST_LAYERS`."""
    for name, value in options.items():
        if name in ("layers", "levels") and value > MOST_LAYERS:
            raise ValueError(f"{name}: at most {MOST_LAYERS} are allowed, got {value!r}")
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
