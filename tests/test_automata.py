"""Formal languages and word problems: what the automata say against the plain definitions, and how strings come."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from counted_draws import below, digest, example_draws
from recording import RecordingLane, train_in
from scipy.stats import chisquare
from seqbench.bench import api
from seqbench.bench.engine.lanes import HostLane
from seqbench.tasks import (
    _automata,
    cycle_navigation,
    even_pairs,
    modular_arithmetic,
    parity,
    selective_copying,
    word_problem,
)


def value(symbols: list[int]) -> int:
    return int(eval("".join("01234+-*"[symbol] for symbol in symbols))) % 5


def product(permutations: list[tuple[int, ...]], symbols: list[int]) -> int:
    """Of permutations, one after the other on what each of five things has become."""
    things = list(range(5))
    for symbol in symbols:
        things = [permutations[symbol][thing] for thing in things]
    return permutations.index(tuple(things))


ORDERED = {"A5": word_problem.permutations(even=True), "S5": word_problem.permutations(even=False)}
ANSWERS: list[tuple[Any, Callable[[list[int]], int]]] = [
    (parity.Task, lambda symbols: sum(symbols) % 2),
    (even_pairs.Task, lambda symbols: 1 - sum(a != b for a, b in itertools.pairwise(symbols)) % 2),
    (cycle_navigation.Task, lambda symbols: sum(symbol - 1 for symbol in symbols) % 5),
    (modular_arithmetic.Task, value),
    (word_problem.Task, lambda symbols: sum(symbols) % 60),
    (lambda **options: word_problem.Task(group="A5", **options), lambda symbols: product(ORDERED["A5"], symbols)),
    (lambda **options: word_problem.Task(group="S5", **options), lambda symbols: product(ORDERED["S5"], symbols)),
]


@pytest.mark.parametrize(("make", "answer"), ANSWERS)
def test_the_answers_of_automata_are_those_of_the_plain_definition(
    make: Any, answer: Callable[[list[int]], int]
) -> None:
    task = make(shortest=3, longest=9, length=21, train=30, valid=5, test=5)
    period = task.automaton.period
    train, _, test = task.load(0)
    symbols, lengths = task.examples(0, "train", 0, 30)
    assert train.lengths.tolist() == lengths.tolist()
    asks_once = make(target="end", shortest=3, longest=9, train=30) if not hasattr(task, "group") else None
    for one in range(30):
        string, end = symbols[one].tolist(), int(lengths[one])
        batch = train.batch(torch.tensor([one]))
        assert batch.inputs.tolist() == [string[:end]]
        if asks_once is None:
            assert batch.mask.all()
            assert batch.targets.tolist() == [[answer(string[: step + 1]) for step in range(end)]]
        else:
            once = asks_once.load(0).train.batch(torch.tensor([one]))
            assert once.targets.tolist() == [[answer(string[:end])]]
            assert once.reads.tolist() == [[end - 1]]
    if asks_once is not None:
        every = make(target="prefixes", length=21, test=5).load(0).test.batch(torch.arange(5))
        scored = torch.ones_like(every.targets, dtype=torch.bool) if every.mask is None else every.mask
        assert scored.nonzero()[:, 1].unique().tolist() == [*range(0, 21, period)]
        for row, string in enumerate(every.inputs.tolist()):
            for step in range(0, 21, period):
                assert every.targets[row, step] == answer(string[: step + 1])
    assert test.lengths is None
    assert test.batch(torch.arange(5)).inputs.shape == (5, 21)


@pytest.mark.parametrize("target", ["end", "prefixes"])
@pytest.mark.parametrize("make", [make for make, _ in ANSWERS[:4]])
def test_floors_of_automata_are_those_of_all_strings(make: Any, target: Any) -> None:
    task = make(target=target, length=5, longest=5)
    alphabets = [*task.automaton.alphabets.values()]
    strings = itertools.product(*(range(*alphabets[step % len(alphabets)]) for step in range(5)))
    symbols = np.array([*strings], np.uint8)
    said = task.automaton.read(symbols)[:, :: task.automaton.period]
    shares = [np.bincount(column).max() / len(said) for column in said.T]
    expected = shares[-1] if target == "end" else sum(shares) / len(shares)
    assert task.metrics[0].floor == pytest.approx(100 * expected)
    assert [metric.name for metric in task.metrics] == ["accuracy", "sequences"][: 1 + (target == "prefixes")]


def test_groups_are_groups() -> None:
    for group in word_problem.GROUPS:
        table = word_problem.table(group).astype(int)
        order = len(table)
        assert order == {"Z60": 60, "A5": 60, "S5": 120}[group]
        assert (table[0] == np.arange(order)).all()
        assert (table[:, 0] == np.arange(order)).all()
        assert all(
            (np.sort(part, axis) == np.arange(order).reshape(shape)).all()
            for part, axis, shape in ((table, 1, (1, -1)), (table, 0, (-1, 1)))
        )
        assert (table[table] == table[:, table]).all(), "(a b) c = a (b c)"
        assert word_problem.Task(group=group).metrics[0].floor == pytest.approx(100 / order)
        commutes = (table == table.T).all()
        assert commutes == (group == "Z60")
    first, second = ORDERED["S5"].index((1, 0, 2, 3, 4)), ORDERED["S5"].index((0, 2, 1, 3, 4))
    # First 0 and 1 change places, then 1 and 2: what was 0 is 1 and then 2.
    assert ORDERED["S5"][word_problem.table("S5")[first, second]] == (2, 0, 1, 3, 4)


def test_lengths_of_training_are_uniform_and_no_other_option_of_the_test_changes_them() -> None:
    task = parity.Task()
    _, lengths = task.examples(0, "train", 0, 19_000)
    assert chisquare(np.bincount(lengths, minlength=41)[3:41]).pvalue > 1e-3
    assert (lengths.min(), lengths.max()) == task.trained_lengths == (3, 40)
    assert digest(*task.examples(0, "train", 0, 50)) == digest(*task.at_length(999).examples(0, "train", 0, 50))
    _, odd = modular_arithmetic.Task(shortest=4, longest=10).examples(0, "train", 0, 3_000)
    assert np.unique(odd).tolist() == [5, 7, 9]
    assert parity.Task(longest=300).examples(0, "train", 0, 500)[1].max() > 256
    assert modular_arithmetic.Task().steps == 255
    assert [parity.Task(length=length).steps for length in (20, 300)] == [40, 300]
    longer, shorter = (parity.Task(length=length).examples(0, "test", 0, 9)[0] for length in (30, 20))
    assert (longer[:, :20] == shorter).all()


def test_strings_are_padded_to_any_extent() -> None:
    split = parity.Task(target="prefixes", train=8, longest=9).load(0).train
    index = torch.arange(8)
    own, wide = split.batch(index), split.laid_out(index, 15)
    assert split.lengths is not None
    assert own.mask is not None
    assert wide.mask is not None
    assert wide.inputs.shape == wide.mask.shape == wide.targets.shape == (8, 15)
    assert wide.mask.sum(1).tolist() == own.mask.sum(1).tolist() == split.lengths.tolist()
    assert torch.equal(wide.targets[wide.mask], own.targets[own.mask])


def test_symbols_of_strings_equal_the_oracle() -> None:
    symbols, lengths = parity.Task(longest=33).examples(7, "train", 3, 20)
    for row, index in enumerate(range(3, 23)):
        draws = example_draws("parity/train/bits/7", index)
        assert symbols[row].tolist() == [below(draws, 2) for _ in range(33)]
        assert lengths[row] == 3 + below(example_draws("parity/train/lengths/7", index), 31)
    symbols, _ = modular_arithmetic.Task(length=10).examples(7, "test", 3, 20)
    for row, index in enumerate(range(3, 23)):
        digits = example_draws("modular-arithmetic/test/digits", index)
        operators = example_draws("modular-arithmetic/test/operators", index)
        assert symbols[row, ::2].tolist() == [below(digits, 5) for _ in range(5)]
        assert symbols[row, 1::2].tolist() == [5 + below(operators, 3) for _ in range(4)]


def test_what_is_masked_does_not_matter() -> None:
    task = modular_arithmetic.Task(target="prefixes", train=8, longest=9)
    batch = task.load(0).train.batch(torch.arange(8))
    outputs = torch.randn((*batch.targets.shape, 5), generator=torch.Generator().manual_seed(0))
    assert batch.mask is not None
    other = torch.where(batch.mask.unsqueeze(2), outputs, 1e4)
    assert torch.equal(task.loss(other, batch), task.loss(outputs, batch))
    for (total, count), (same, many) in zip(
        task.totals(other, batch).values(), task.totals(outputs, batch).values(), strict=True
    ):
        assert (float(total), int(count)) == (float(same), int(many))
    expected = torch.nn.functional.cross_entropy(outputs[batch.mask], batch.targets[batch.mask])
    torch.testing.assert_close(task.loss(outputs, batch), expected)


@pytest.mark.parametrize("target", ["end", "prefixes"])
def test_a_training_is_the_same_where_steps_are_captured(target: str) -> None:
    run = api.make_run(
        f"modular-arithmetic(target={target}, longest=9, length=13, train=40, valid=8, test=8)", "gru(width=4)", batch=8
    )
    run = replace(run, training=replace(run.training, epochs=2, test_lengths=(21,)))
    one, other = train_in(RecordingLane(), run), train_in(HostLane(), run)
    assert one.uncaptured == ""
    for mine, theirs in zip(one.progress.curve, other.progress.curve, strict=True):
        assert mine["valid"] == pytest.approx(theirs["valid"])
    assert one.lengths["21"] == pytest.approx(other.lengths["21"])


def test_other_lengths_change_validation_and_test_alone() -> None:
    assert parity.Task(target="prefixes").at_length(40) == parity.Task(target="prefixes", length=40)
    assert selective_copying.Task().at_length(256).steps == 272
    assert selective_copying.Task().trained_lengths is None
    automaton = _automata.Automaton(
        np.zeros((1, 6), np.uint8), np.zeros(1, np.uint8), {"a": (0, 2), "b": (2, 4), "c": (4, 6)}
    )
    assert [automaton.whole(length) for length in range(1, 9)] == [1, 1, 1, 4, 4, 4, 7, 7]
