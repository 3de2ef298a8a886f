"""The tasks that separate architectures: known examples, and those that recall against what is worked out by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from counted_draws import below, chosen, digest, example_draws
from scipy.stats import chisquare
from seqbench.tasks import (
    _random,
    associative_recall,
    base,
    cycle_navigation,
    even_pairs,
    induction_heads,
    modular_arithmetic,
    parity,
    selective_copying,
    word_problem,
)

ALL: dict[str, Any] = {
    "parity": parity.Task(),
    "even-pairs": even_pairs.Task(),
    "cycle-navigation": cycle_navigation.Task(),
    "modular-arithmetic": modular_arithmetic.Task(),
    "word-problem": word_problem.Task(),
    "word-problem(group=S5)": word_problem.Task(group="S5"),
    "selective-copying": selective_copying.Task(),
    "induction-heads": induction_heads.Task(),
    "associative-recall": associative_recall.Task(),
    "associative-recall(filler=random)": associative_recall.Task(filler="random"),
}
GOLDEN = {
    "parity": "f8c8cfd61e2f8f4f 922c65559e99ec98 061fa0a5c4eccce9",
    "even-pairs": "b76466762f2b231f cad023b2f95a4641 572abab62237ace3",
    "cycle-navigation": "5320248cd0d7f375 2080b722106c988e f2dfddc968511682",
    "modular-arithmetic": "10e47a1feee386f1 3ec3d451cf5073c6 b213514f2605f62c",
    "word-problem": "8fc9e4eab08bf785 cc81a5ee820af678 af75d147e4b2defa",
    "word-problem(group=S5)": "17e30097ac288d1f b38b067e98e64d5b fb1ad2c2951e40b2",
    "selective-copying": "c9f109b34b8fdd84 d646c9095449dc11 0c5797554d1d9e14",
    "induction-heads": "42774a0af64205a3 5706b3cb4bdec401 d65b65a88a56cf6c",
    "associative-recall": "0c63cc494b71d08d 48cd819f6d42b865 64abf05f04fffc6c",
    "associative-recall(filler=random)": "b74ff443393212d0 beff94fa928cd29d 8776a0c41cbac6ff",
}


@pytest.mark.parametrize("name", ALL)
def test_golden_bytes(name: str) -> None:
    """These change only together with the task's version."""
    found = [digest(*ALL[name].examples(0, split, 0, 200)) for split in ("train", "valid", "test")]
    assert " ".join(found) == GOLDEN[name]


@pytest.mark.parametrize("name", ALL)
def test_any_chunk_any_number_of_threads_and_the_seed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = ALL[name]
    whole = task.examples(5, "train", 0, 101)
    monkeypatch.setattr(_random, "_WORTH_A_THREAD", 1)
    assert digest(*task.examples(5, "train", 0, 101, 3)) == digest(*whole)
    chunks = [task.examples(5, "train", a, b - a) for a, b in itertools.pairwise([0, 1, 50, 101])]
    assert digest(*(np.concatenate(columns) for columns in zip(*chunks, strict=True))) == digest(*whole)
    parts = [digest(*task.examples(seed, split, 0, 50)) for seed in (0, 1) for split in ("train", "valid", "test")]
    assert len(set(parts)) == 5
    assert parts[2] == parts[5]


def test_drawing_without_putting_back() -> None:
    weights = [1, 2, 0, 4]
    key = _random.stream("weights")
    found = _random.chosen(key, 0, 40_000, 2, weights)
    for index in range(50):
        assert found[index].tolist() == chosen(example_draws("weights", index), 2, weights)
    pairs = np.bincount(found[:, 0] * 4 + found[:, 1], minlength=16)
    expected = [[0, 2 / 6, 0, 4 / 6], [1 / 5, 0, 0, 4 / 5], [0] * 4, [1 / 3, 2 / 3, 0, 0]]
    chances = (np.array(weights)[:, None] / 7 * np.array(expected)).ravel()
    assert not pairs[chances == 0].any()
    assert chisquare(pairs[chances > 0], 40_000 * chances[chances > 0]).pvalue > 1e-3
    with pytest.raises(ValueError, match="4 of 4 weights cannot be drawn"):
        _random.chosen(key, 0, 1, 4, weights)


def test_selective_copying_in_words() -> None:
    task = selective_copying.Task(length=7, memory=3, alphabet=10)
    symbols, places = task.examples(7, "train", 3, 40)
    batch = task.present(torch.from_numpy(symbols), torch.from_numpy(places))
    for row, index in enumerate(range(3, 43)):
        draws = example_draws("selective-copying/train/symbols/7", index)
        copied = [1 + below(draws, 8) for _ in range(3)]
        at = sorted(chosen(example_draws("selective-copying/train/places/7", index), 3, [1] * 10))
        shown = [0] * 10 + [9] * 3
        for place, symbol in zip(at, copied, strict=True):
            shown[place] = symbol
        assert batch.inputs[row].tolist() == shown
        assert batch.targets[row].tolist() == copied
    assert task.steps == 13
    assert task.metrics[0].floor == pytest.approx(100 / 8)
    _, places = task.examples(0, "train", 0, 12_000)
    sets = np.unique(places, axis=0, return_counts=True)[1]
    assert len(sets) == math.comb(10, 3)
    assert chisquare(sets).pvalue > 1e-3


def test_induction_heads_in_words() -> None:
    task = induction_heads.Task(length=9, alphabet=5)
    symbols, places = task.examples(7, "valid", 3, 40)
    batch = task.present(torch.from_numpy(symbols), torch.from_numpy(places))
    for row, index in enumerate(range(3, 43)):
        draws = example_draws("induction-heads/valid/symbols/7", index)
        shown = [below(draws, 5) for _ in range(9)]
        place = below(example_draws("induction-heads/valid/places/7", index), 7)
        shown[place] = shown[8] = 5
        assert batch.inputs[row].tolist() == shown
        assert batch.targets[row].tolist() == [shown[place + 1]]
        assert shown.count(5) == 2
    assert induction_heads.Task(length=600).examples(0, "train", 0, 500)[1].max() > 256


@pytest.mark.parametrize("filler", ["blank", "random"])
def test_associative_recall_in_words(filler: Any) -> None:
    task = associative_recall.Task(vocabulary=16, length=21, pairs=3, filler=filler)
    batch = task.present(*map(torch.from_numpy, task.examples(7, "train", 3, 40)))
    law = [math.floor(2**20 * distance**-0.99) for distance in range(1, 8)]
    assert batch.reads is not None
    for row, index in enumerate(range(3, 43)):
        keys = [1 + key for key in chosen(example_draws("associative-recall/train/keys/7", index), 3, [1] * 7)]
        values = [8 + one for one in chosen(example_draws("associative-recall/train/values/7", index), 3, [1] * 8)]
        places = [6 + 2 * one for one in chosen(example_draws("associative-recall/train/returns/7", index), 3, law)]
        draws = example_draws("associative-recall/train/filler/7", index)
        shown = [below(draws, 16) if filler == "random" else 0 for _ in range(21)]
        shown[:6] = [symbol for pair in zip(keys, values, strict=True) for symbol in pair]
        for key, place in zip(keys, places, strict=True):
            shown[place] = key
        assert batch.inputs[row].tolist() == shown
        asked = sorted(zip(places, values, strict=True))
        assert batch.reads[row].tolist() == [place for place, _ in asked]  # type: ignore[union-attr,index]
        assert batch.targets[row].tolist() == [symbol for _, symbol in asked]
    assert task.metrics[0].floor == 12.5


def test_a_constant_answer_scores_the_floor_and_the_right_one_solves_the_task() -> None:
    made: list[Any] = [
        (parity.Task(target="prefixes", length=30), 0),
        (even_pairs.Task(target="prefixes", length=30), 1),
        (cycle_navigation.Task(target="prefixes", length=30), 0),
        (modular_arithmetic.Task(target="prefixes", length=30), 0),
        (cycle_navigation.Task(target="end", length=3), 0),
        (selective_copying.Task(alphabet=6), 3),
        (induction_heads.Task(alphabet=3), 1),
        (associative_recall.Task(vocabulary=18), 11),
    ]
    for task, constant in made:
        batch = task.load(0).test.batch(torch.arange(1000))
        shape = (*batch.targets.shape, task.outputs)
        always = torch.nn.functional.one_hot(torch.tensor(constant), task.outputs).float().expand(shape)
        right = torch.nn.functional.one_hot(batch.targets, task.outputs).float()
        (accuracy, *sequences), answers = task.metrics, (always, right)
        found, solved = (scores(task, answer, batch) for answer in answers)
        assert found["accuracy"] == pytest.approx(accuracy.floor, abs=3.0)
        assert set(solved.values()) == {100.0}
        assert accuracy.solved(99.0)
        assert not accuracy.solved(98.9)
        assert [metric.name for metric in sequences] == ["sequences"][: len(found) - 1]
        assert task.loss(100 * right, batch) == 0
        one_wrong = right.clone()
        one_wrong[0, 0] = one_wrong[0, 0].roll(1)
        found = scores(task, one_wrong, batch)
        if sequences:
            assert found["sequences"] == pytest.approx(99.9)
        assert 99.0 < found["accuracy"] < 100


def scores(task: base.Task, outputs: torch.Tensor, batch: base.Batch) -> dict[str, float]:
    totals = task.totals(outputs, batch)
    return {metric.name: metric.value(*(float(part) for part in totals[metric.name])) for metric in task.metrics}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: parity.Task(target="start"), "parity: target must be 'end' or 'prefixes', got 'start'"),  # type: ignore[arg-type]
        (lambda: parity.Task(longest=2), "parity: longest must be 3 or more, got 2"),
        (lambda: even_pairs.Task(shortest=0), "even-pairs: shortest must be 1 or more, got 0"),
        (lambda: cycle_navigation.Task().at_length(0), "cycle-navigation: length must be 1 or more, got 0"),
        (
            lambda: modular_arithmetic.Task(shortest=4, longest=4),
            "modular-arithmetic: no string of 4 to 4 symbols has an answer",
        ),
        (lambda: word_problem.Task(group="S4"), "word-problem: group must be 'Z60' or 'A5' or 'S5', got 'S4'"),  # type: ignore[arg-type]
        (lambda: word_problem.Task(test=0), "word-problem: test must be 1 or more, got 0"),
        (lambda: selective_copying.Task(alphabet=3), "selective-copying: alphabet must be from 4 to 256, got 3"),
        (lambda: induction_heads.Task(length=2), "induction-heads: length must be 3 or more, got 2"),
        (lambda: associative_recall.Task(length=31), "associative-recall: length must be 32 or more, got 31"),
        (lambda: associative_recall.Task(vocabulary=17), "associative-recall: vocabulary must be 18 or more, got 17"),
        (lambda: associative_recall.Task(vocabulary=99), "associative-recall: vocabulary must be even, got 99"),
        (lambda: associative_recall.Task(filler="none"), "associative-recall: filler must be 'blank' or 'random', got"),  # type: ignore[arg-type]
    ],
)
def test_bad_options_are_refused_in_words(make: Callable[[], base.Task], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
