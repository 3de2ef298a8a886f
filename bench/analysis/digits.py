"""Numbers as text, with as many digits as a reader can use."""

from __future__ import annotations

import math

NO_NUMBER = "–"
"""The text of a number that does not exist."""


def number(value: float | None, decimals: int | None = None) -> str:
    """A score with so many decimals, or with three significant digits, and an exponent where it is small.

    decimals: of the metric, see `Metric.decimals`.

    >>> number(97.6, 2), number(0.0036123), number(0.00043918), number(8.1), number(183.4)
    ('97.60', '0.00361', '4.39e-4', '8.10', '183')
    """
    if value is None or math.isnan(value):
        return NO_NUMBER
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value < 0:
        return f"−{number(-value, decimals)}"
    if decimals is not None:
        return f"{value:.{decimals}f}"
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.2e}".partition("e")  # rounds first, so that 0.0009999 is 0.00100
    if not -3 <= int(exponent) <= 4:
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.{max(0, 2 - int(exponent))}f}"


def seconds_text(seconds: float | None) -> str:
    """A duration: a decimal below ten seconds."""
    return NO_NUMBER if seconds is None else f"{seconds:.{1 if seconds < 10 else 0}f}"
