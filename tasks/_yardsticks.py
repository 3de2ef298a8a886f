"""What simple answers score on a text, from counts of its training text: the yardsticks of every language model.

Unigram, with no memory: P(w) = (count(w) + 1) / (N + V), by Laplace's rule, from N training tokens.
Bigram, which knows the symbol before: P(w | v) = a * count(v w) / count(v .) + (1 - a) * P(w), with the weight a in
[0, 1] that is best on validation; where v never comes before anything in the training text it is P(w).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._text import Ids

_CHUNK = 1 << 22  # training tokens that are counted at a time


class Pairs(NamedTuple):
    """Symbols that are asked for, each with the one before it: two integer arrays of one length."""

    before: Ids
    wanted: Ids


class Nats(NamedTuple):
    """The mean surprisal of the symbols that were asked for, in nats, and the weight of the bigram."""

    unigram: float
    bigram: float
    weight: float


def pairs(ids: Ids, context: int = 0) -> Pairs:
    """Every token of an encoded text (N + 1,) from position `context` on.

    >>> pairs(np.array([9, 1, 2, 3]), context=1)
    Pairs(before=array([1, 2]), wanted=array([2, 3]))
    """
    return Pairs(ids[context:-1], ids[context + 1 :])


def nats(train: Ids, size: int, valid: Pairs, test: Pairs) -> Nats:
    """What both answers cost on the test pairs, counted from an encoded training text; `size` is V.

    Only pairs that are asked for are counted, so that 100 million tokens take little memory.

    >>> train = np.array([0, 1, 2, 1, 0])  # "b c b a" after an "a": a, b, c are 0, 1, 2
    >>> asked = Pairs(np.array([1]), np.array([2]))  # P(c) = (1 + 1) / (4 + 3); after b comes c, or a
    >>> found = nats(train, 3, valid=asked, test=asked)  # validation puts all weight on the pair
    >>> np.exp(-np.array(found[:2])).round(4).tolist(), round(found.weight, 3)
    ([0.2857, 0.5], 1.0)
    """
    from scipy.optimize import minimize_scalar  # here, because it takes 0.2 s that only this needs

    counts, follow = np.zeros(size, np.int64), np.zeros(size, np.int64)
    asked = [before.astype(np.int64) * size + wanted for before, wanted in (valid, test)]
    needed = np.unique(np.concatenate(asked))
    both = np.zeros(len(needed), np.int64)
    for begin in range(0, len(train) - 1, _CHUNK):
        chunk = train[begin : begin + _CHUNK + 1].astype(np.int64)
        counts += np.bincount(chunk[1:], minlength=size)
        follow += np.bincount(chunk[:-1], minlength=size)
        pair = chunk[:-1] * size + chunk[1:]
        place = np.minimum(np.searchsorted(needed, pair), len(needed) - 1)
        both += np.bincount(place[needed[place] == pair], minlength=len(needed))
    single = (counts + 1) / (counts.sum() + size)

    def chances(part: Pairs, pair: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """P(w), and the share of w among what follows v, of every pair."""
        alone, seen = single[part.wanted], follow[part.before]
        return alone, np.where(seen > 0, both[np.searchsorted(needed, pair)] / np.maximum(seen, 1), alone)

    (valid_alone, valid_after), (test_alone, test_after) = map(chances, (valid, test), asked)

    def cost(weight: float) -> float:
        with np.errstate(divide="ignore"):  # all weight on pairs, and one that was never seen
            return float(-np.log(weight * valid_after + (1 - weight) * valid_alone).mean())

    best = float(minimize_scalar(cost, bounds=(0, 1), method="bounded", options={"xatol": 1e-6}).x)
    bigram = -np.log(best * test_after + (1 - best) * test_alone).mean()
    return Nats(float(-np.log(test_alone).mean()), float(bigram), best)
