"""Which runs a text means: one rule for all verbs that take one."""

from __future__ import annotations

import re
from collections.abc import Sequence


def means(text: str, run_id: str, label: str) -> bool:
    """Whether a text means a run: it is the beginning of its id, or its words stand in the label in their order.

    Words are what spaces, commas and brackets part. Each must be a part of a word of the label, a number the whole of
    one, so that seed 1 is not seed 10. A text without a word means nothing.

    >>> label = "adding(length=50, train=25600) tcn(kernel=5, levels=4) seed 1"
    >>> [means(text, "7d9f5bf61bde", label) for text in ("7d9f", "add tcn", "tcn seed 1", "tcn add", "5", "")]
    [True, True, True, False, False, False]
    """
    wanted = _words(text)
    if not wanted:
        return False
    rest = iter(_words(label))  # each word of the label serves once, and none before the last that served
    return run_id.startswith(text) or all(any(_fits(word, other) for other in rest) for word in wanted)


def any_means(texts: Sequence[str], run_id: str, label: str) -> bool:
    """Whether one of the texts means a run."""
    return any(means(text, run_id, label) for text in texts)


def unmet(texts: Sequence[str], runs: Sequence[tuple[str, str]]) -> str | None:
    """The first of the texts that means none of these runs, each an id and a label; None where all mean some."""
    return next((text for text in texts if not any(means(text, *run) for run in runs)), None)


def listed(runs: Sequence[tuple[str, str]], most: int = 8) -> str:
    """Runs, each an id and a label, as a message names them: so many, and how many more there are.

    >>> listed([("7d9f", "jsb gru seed 0"), ("12ab", "jsb lstm seed 0")], most=1)
    '7d9f jsb gru seed 0; and 1 more'
    """
    if not runs:
        return "there are none"
    more = [f"and {len(runs) - most} more"] if len(runs) > most else []
    return "; ".join([*(f"{run_id} {label}" for run_id, label in runs[:most]), *more])


def _words(text: str) -> list[str]:
    return re.findall(r"[^\s,()\[\]]+", text)


def _fits(word: str, other: str) -> bool:
    return word == other if word.isdigit() else word in other
