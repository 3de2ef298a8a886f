"""What tests may cost as models and tasks are added: counted in tests, which no other work on the machine changes."""

from __future__ import annotations

from collections import Counter

import pytest
from seqbench.bench.experiments import registry

WHOLE = 5000
"""With fewer tests only a part of the suite was asked for."""
ALL = 10_000
A_MODEL, A_TASK = 150, 150
"""Tests that may name one model, or one task."""
FOUNDERS = {"rnn": 400, "lstm": 400, "gru": 400, "tcn": 400, "adding": 250}
"""Those by which nearly everything else is tried."""


def test_a_model_or_a_task_more_costs_a_bounded_number_of_tests(request: pytest.FixtureRequest) -> None:
    items = request.session.items
    if len(items) < WHOLE:
        pytest.skip("only a part of the suite was asked for")
    found = Counter[str]()
    for item in items:
        given = getattr(item, "callspec", None)
        texts = [value for value in given.params.values() if isinstance(value, str)] if given is not None else []
        found.update({text.partition("(")[0] for text in texts})
    over = {
        name: found[name]
        for kind, most in (("model", A_MODEL), ("task", A_TASK))
        for name in registry.listing(kind)  # type: ignore[arg-type]
        if found[name] > FOUNDERS.get(name, most)
    }
    assert over == {}, "thin the cross products: a covering selection, see fingerprints.covering"
    assert len(items) <= ALL
