"""One rule says which run a text means."""

from __future__ import annotations

import pytest
from seqbench.bench.experiments.naming import listed, means, unmet

COPY = "copy-memory(delay=20, train=25600) lstm seed 1"
MNIST = "sequential-mnist(view=rows) tcn(kernel=5, levels=4) seed 10"
MINE = "jsb models/my_model.py(width=3) seed 0"


@pytest.mark.parametrize(
    ("text", "label", "is_meant"),
    [
        (COPY, COPY, True),
        ("copy lstm", COPY, True),
        ("copy-memory(delay=20", COPY, True),
        ("delay=20 seed 1", COPY, True),
        ("lstm copy", COPY, False),  # another order
        ("copy lstm lstm", COPY, False),  # each word once
        ("seed 1", COPY, True),
        ("seed 1", MNIST, False),  # a number is whole
        ("seed 10", MNIST, True),
        ("mnist tcn", MNIST, True),  # a part of a word
        ("tcn(kernel=5)", MNIST, True),
        ("my_model.py", MINE, True),
        ("7d9f", COPY, True),  # the id
        ("d9f5", COPY, False),  # not where the id begins
        ("", COPY, False),
        (" ( ", COPY, False),
    ],
)
def test_which_run_a_text_means(text: str, label: str, is_meant: bool) -> None:
    assert means(text, "7d9f5bf61bde", label) == is_meant


def test_a_text_that_means_none_is_found() -> None:
    runs = [("7d9f5bf61bde", COPY), ("0a0b0c0d0e0f", MNIST)]
    assert unmet(["copy", "0a0b"], runs) is None
    assert unmet(["copy", "gru", "rnn"], runs) == "gru"
    assert unmet([], runs) is None
    assert listed([]) == "there are none"
    assert listed(runs * 5, most=2) == f"7d9f5bf61bde {COPY}; 0a0b0c0d0e0f {MNIST}; and 8 more"
