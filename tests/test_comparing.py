"""What counts as the same: bits on one machine; elsewhere what rounding explains, and no more."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from seqbench.bench import api
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows.comparing import (
    BEGINNING,
    Difference,
    differences,
    elsewhere,
    large_differences,
    newer_version,
    other_versions,
    tolerance_of,
)
from seqbench.bench.rows.store import Row
from seqbench.tasks.base import Metric

ORIGIN: dict[str, Any] = {
    "versions": {"python": "3.11.7", "torch": "2.9.0", "numpy": "2.1", "numba": "0.61", "scipy": "1.15"},
    "processor": "A, 2 cores",
    "instructions": "AVX2",
    "platform": "Linux",
    "device": "cpu",
    "driver": None,
    "threads": 1,
    "source": "abc",
    "data": {"a.bin": "1" * 64},
}


def made_up() -> Row:
    """A row of copy-memory with a test at another length."""
    scores = {"loss": 0.5, "recall": 0.25}
    points = [
        {"epoch": epoch, "steps": 40 * epoch, "learning_rate": 0.001, "train_loss": 0.6, "seconds": 1.0 * epoch}
        | {"valid": dict(scores), "test": dict(scores)}
        for epoch in (1, 2)
    ]
    return {
        "status": "done",
        "parameters": 1000,
        "state_size": 10,
        "receptive_field": None,
        "scores": {
            "best": {"epoch": 2, "valid": dict(scores), "test": dict(scores)},
            "last": {"epochs": [1, 2], "test": dict(scores)},
        },
        "lengths": {"30": dict(scores)},
        "curve": points,
        "trace": [[4, 0.9], [8, 0.8]],
        "yardsticks": [{"name": "uniform", "scores": {"loss": 0.7}}],
        "seconds": {"training": 1.0, "evaluation": 0.1, "cpu": 1.0},
        "provenance": copy.deepcopy(ORIGIN),
    }


def run() -> Run:
    return api.make_run("copy-memory(delay=20)", "gru(width=4)", test_lengths=[30])


def put(row: Row, path: str, value: Any) -> Row:
    """The row, changed at a path like `curve.1.valid.loss`."""
    *parents, last = path.split(".")
    inner: Any = row
    for key in parents:
        inner = inner[int(key) if isinstance(inner, list) else key]
    inner[int(last) if isinstance(inner, list) else last] = value
    return row


def test_a_row_is_like_itself_whenever_and_however_long_it_was_made() -> None:
    here = put(put(made_up(), "curve.1.seconds", 99.0), "seconds.cpu", 9.0)
    assert differences(here, made_up()) == []
    assert large_differences(here, made_up(), run()) == []
    assert elsewhere(here, made_up()) == []


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        ("status", "diverged", "status: 'diverged' here, 'done' in the row"),
        ("parameters", 1001, "parameters: 1001 here, 1000 in the row"),
        ("state_size", 11, "state_size: 11 here, 10 in the row"),
        ("receptive_field", 5, "receptive_field: 5 here, nothing in the row"),
        ("scores.best.epoch", 1, "scores.best.epoch: 1 here, 2 in the row"),
        (
            "scores.last.test.recall",
            0.25 + 2**-54,
            "scores.last.test.recall: 0.25000000000000006 here, 0.25 in the row",
        ),
        ("lengths.30.loss", 0.5000000000000001, "lengths.30.loss: 0.5000000000000001 here, 0.5 in the row"),
        ("curve.1.valid.loss", 0.51, "curve[epoch 2].valid.loss: 0.51 here, 0.5 in the row"),
        ("curve.0.learning_rate", 0.002, "curve[epoch 1].learning_rate: 0.002 here, 0.001 in the row"),
        ("trace.1.1", None, "trace[1][1]: nothing here, 0.8 in the row"),
        ("yardsticks.0.scores.loss", 0.71, "yardsticks[0].scores.loss: 0.71 here, 0.7 in the row"),
        ("trace", [[4, 0.9]], "trace (number of entries): 1 here, 2 in the row"),
    ],
)
def test_every_bit_counts_on_one_machine(path: str, value: Any, shown: str) -> None:
    here = put(made_up(), path, value)
    assert [str(one) for one in differences(here, made_up())] == [shown]


def test_data_count_everywhere() -> None:
    here = made_up()
    here["provenance"]["data"]["a.bin"] = "2" * 64
    expected = f"provenance.data.a.bin: '{'2' * 56}… here, '{'1' * 56}… in the row"
    assert [str(one) for one in differences(here, made_up())] == [expected]
    here["provenance"]["data"] = {}
    assert [one.path for one in large_differences(here, made_up(), run())] == ["provenance.data.a.bin"]


def test_a_part_that_rows_had_later_is_not_compared() -> None:
    old = {key: value for key, value in made_up().items() if key != "yardsticks"}
    assert differences(made_up(), old) == []
    assert [one.path for one in differences(old, made_up())] == ["yardsticks"]


def test_a_metric_that_only_one_of_them_has() -> None:
    here = made_up()
    here["scores"]["best"]["test"]["extra"] = 0.1
    del here["curve"][0]["valid"]["loss"]
    assert differences(here, made_up()) == [
        Difference("scores.best.test.extra", 0.1, None),
        Difference("curve[epoch 1].valid.loss", None, 0.5),
    ]
    assert large_differences(here, made_up(), run()) == [Difference("scores.best.test.extra", 0.1, None)]


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("versions.torch", "2.8.0", "torch 2.8.0 here, 2.9.0 there"),
        ("versions.numba", "0.62", "numba 0.62 here, 0.61 there"),
        ("versions.python", "3.12.0", None),
        ("processor", "B, 2 cores", "processors of B, 2 cores here, A, 2 cores there"),
        ("instructions", "AVX512", "instructions AVX512 here, AVX2 there"),
        ("instructions", None, None),
        ("platform", "Darwin", "system Darwin here, Linux there"),
        ("device", "H100", "device H100 here, cpu there"),
        ("threads", 2, "threads 2 here, 1 there"),
        ("commit", "1234", None),
    ],
)
def test_where_the_same_bits_cannot_be_expected(path: str, value: Any, text: str | None) -> None:
    here = put(made_up(), f"provenance.{path}", value)
    assert elsewhere(here, made_up()) == ([text] if text else [])


def test_the_libraries_of_a_gpu_count() -> None:
    here, there = (put(made_up(), "provenance.versions.cudnn", version) for version in ("91002", "90100"))
    assert elsewhere(here, there) == ["cudnn 91002 here, 90100 there"]


ALLOWED: list[Callable[[Row], Row]] = [
    lambda row: put(row, "scores.best.test.loss", 1.9),
    lambda row: put(row, "scores.best.test.recall", 0.299),
    lambda row: put(row, "scores.best.epoch", 1),
    lambda row: put(row, "curve.1.test.loss", 5.0),
    lambda row: put(row, "trace.0.1", 0.9 * (1 + 0.9 * BEGINNING.value)),
    lambda row: put(row, "trace.1.1", 0.1),
]
FORBIDDEN: list[tuple[str, Any]] = [
    ("status", "diverged"),
    ("parameters", 1001),
    ("state_size", 9),
    ("receptive_field", 3),
    ("scores.best.test.loss", 2.1),
    ("scores.best.test.recall", 0.31),
    ("scores.best.valid.recall", None),
    ("scores.last.test.loss", 0.12),
    ("lengths.30.recall", 0.19),
    ("trace.0.1", 0.9 * (1 + 2 * BEGINNING.value)),
    ("trace.0.1", None),
    ("trace.0.0", 3),
]


@pytest.mark.parametrize("change", ALLOWED)
def test_what_rounding_explains_elsewhere(change: Callable[[Row], Row]) -> None:
    assert large_differences(change(made_up()), made_up(), run()) == []


@pytest.mark.parametrize(("path", "value"), FORBIDDEN)
def test_what_rounding_does_not_explain(path: str, value: Any) -> None:
    here = put(made_up(), path, value)
    (found,) = large_differences(here, made_up(), run())
    assert found.path.replace("[", ".").replace("]", "") == path
    assert found.here == value
    (back,) = large_differences(made_up(), here, run())
    assert (back.here, back.there) == (found.there, found.here)


def test_first_losses_that_cover_many_steps_are_not_compared_elsewhere() -> None:
    here, there = (put(made_up(), "trace", [[40, loss]]) for loss in (0.9, 0.3))
    assert large_differences(here, there, run()) == []


@pytest.mark.parametrize(
    ("metric", "close", "far"),
    [
        (Metric("accuracy", "%", "higher", 10.0), (97.0, 93.0), (97.0, 91.0)),
        (Metric("recall", "", "higher", 0.1), (0.99, 0.95), (0.99, 0.93)),
        (Metric("nats", "nats/frame", "lower", 11.0, kind="likelihood"), (8.50, 8.60), (8.50, 8.70)),
        (Metric("bpc", "bits/character", "lower", 4.0, kind="likelihood"), (1.35, 1.37), (1.35, 1.39)),
        (Metric("perplexity", "per word", "lower", 600.0, scale="exp", kind="likelihood"), (90.0, 94.0), (90.0, 96.0)),
        (Metric("mse", "", "lower", 0.167), (1e-4, 3.5e-4), (1e-4, 5e-4)),
        (Metric("reward", "points", "higher", 0.0), (200.0, 205.0), (200.0, 220.0)),
        (Metric("loss", "nats", "lower", 2.3, kind="likelihood", tolerance=0.75), (0.1, 0.35), (0.1, 0.5)),
    ],
)
def test_tolerances_of_metrics(metric: Metric, close: tuple[float, float], far: tuple[float, float]) -> None:
    for one, other in (close, close[::-1]):
        assert tolerance_of(metric).allows(one, other)
    for one, other in (far, far[::-1]):
        assert not tolerance_of(metric).allows(one, other)


def test_a_row_of_a_newer_version_is_refused_with_that_word() -> None:
    """Of contracts, and of the rules by which its code is hashed; an older one is sent to its own commit."""
    row = made_up() | {"config": run().config}
    assert newer_version(row, run()) == ""
    newer = put(copy.deepcopy(row), "provenance.source", "3:0123456789abcdef")
    assert newer_version(newer, run()) == "rules of the hash 3 in the row, 2 here"
    assert newer_version(put(copy.deepcopy(row), "config.loop", 2), run()) == "loop 2 in the row, 1 here"
    older = put(copy.deepcopy(row), "config.loop", 0)
    assert (newer_version(older, run()), other_versions(older, run())) == ("", "loop 0 in the row, 1 here")
