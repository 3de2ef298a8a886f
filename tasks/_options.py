"""Checks of options that tasks share; each message says what was given and what is allowed."""

from __future__ import annotations

from collections.abc import Sequence


def require_range(task: str, option: str, value: int, lowest: int, highest: int | None = None) -> None:
    """Raises ValueError unless `lowest` <= `value` (<= `highest`, where there is one)."""
    if value >= lowest and (highest is None or value <= highest):
        return
    allowed = f"{lowest} or more" if highest is None else f"from {lowest} to {highest}"
    raise ValueError(f"{task}: {option} must be {allowed}, got {value}")


def require_choice(task: str, option: str, value: str, choices: Sequence[str]) -> None:
    """Raises ValueError unless `value` is one of `choices`."""
    if value not in choices:
        allowed = " or ".join(repr(choice) for choice in choices)
        raise ValueError(f"{task}: {option} must be {allowed}, got {value!r}")
