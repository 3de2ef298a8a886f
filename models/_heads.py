"""Heads: equal parts of a width that a mixer treats alike and apart from each other."""

from __future__ import annotations

import math


def width_step(heads: int, expansion: int = 1) -> int:
    """The widths W for which the heads divide expansion · W are the multiples of this.

    >>> width_step(4), width_step(4, expansion=2), width_step(4, expansion=3)
    (4, 2, 4)
    """
    return heads // math.gcd(heads, expansion)


def divide(width: int, heads: int, expansion: int = 1) -> int:
    """The numbers of one head, expansion · W / H.

    Raises ValueError with the nearest widths where the heads do not divide them.
    """
    step = width_step(heads, expansion)
    if width % step:
        below = width // step * step
        near = f"{below} or {below + step}" if below else f"{step}"
        what = "the width" if expansion == 1 else f"{expansion} · width"
        raise ValueError(f"width: {heads} heads must divide {what}, got {width}; {near} can be had")
    return expansion * width // heads
