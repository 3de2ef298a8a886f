"""Tasks that show a source and ask for a target: known answers, second implementations, how batches are laid out."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from counted_draws import below, digest, example_draws
from pair_texts import texts
from scipy.stats import chisquare
from seqbench.bench import api
from seqbench.bench.engine.evaluation import evaluate
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import networks, sizing
from seqbench.bench.experiments.notation import parse
from seqbench.tasks import _pairs, _random, addition, base, date, reverse, sort
from seqbench.tasks._pairs import END, PAD, START
from torch import Tensor

ALL: dict[str, Any] = {
    "reverse": reverse.Task(),
    "sort": sort.Task(),
    "addition": addition.Task(),
    "addition(backwards=true)": addition.Task(backwards=True),
    "date": date.Task(),
}
GOLDEN = {
    "reverse": "bf12e42c9a9f12ba 87fdf6d423dfe644 cc97c8913fdf4b1c",
    "sort": "7ddf7824099cadc0 a5c4f9f732fe5b3a 99f9dd22e2b7e7d3",
    "addition": "41b2e9bcea006e33 840964c07197916d 55abca60ff8b7353",
    "addition(backwards=true)": "5cf1bc8b7b932666 e7f493b22a7271f2 f13705070448a51e",
    "date": "76f8c1138062eb16 19a3ec618afbdccc e2262a1bce8756c4",
}
every_task = pytest.mark.parametrize("name", ALL)


@every_task
def test_golden_bytes(name: str) -> None:
    """These change only together with the task's version."""
    found = [digest(*ALL[name].examples(0, split, 0, 200)) for split in ("train", "valid", "test")]
    assert " ".join(found) == GOLDEN[name]


@every_task
def test_any_chunk_any_number_of_threads_and_the_seed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = ALL[name]
    whole = texts(task, 5, "train", 0, 101)
    chunks = [texts(task, 5, "train", a, b - a) for a, b in itertools.pairwise([0, 1, 50, 101])]
    assert [*itertools.chain(*chunks)] == whole
    monkeypatch.setattr(_random, "_WORTH_A_THREAD", 1)
    threaded = task.examples(5, "train", 0, 101, threads=3)
    assert digest(*threaded) == digest(*task.examples(5, "train", 0, 101))
    parts = [str(texts(task, seed, split, 0, 50)) for seed in (0, 1) for split in ("train", "valid", "test")]
    assert len(set(parts)) == 5
    assert parts[2] == parts[5]


# Known answers.


def drawn_length(task: Any, name: str, index: int, count: int = 1) -> list[int]:
    draws = example_draws(f"{name}/train/lengths/7", index)
    return [task.shortest + below(draws, task.longest + 1 - task.shortest) for _ in range(count)]


def test_reverse_and_sort_equal_the_oracle() -> None:
    for task, column in ((reverse.Task(), "letters"), (sort.Task(), "numbers")):
        found, size = texts(task, 7, "train", 3, 60), len(task.source_symbols)
        for index, (source, target) in enumerate(found, 3):
            (length,) = drawn_length(task, task.name, index)
            draws = example_draws(f"{task.name}/train/{column}/7", index)
            drawn = [below(draws, size) for _ in range(length)]
            written = drawn[::-1] if task.name == "reverse" else sorted(drawn)
            assert source == task.separator.join(task.source_symbols[one] for one in drawn)
            assert target == task.separator.join(task.source_symbols[one] for one in written)


@pytest.mark.parametrize("backwards", [False, True])
def test_addition_adds(backwards: bool) -> None:
    task = addition.Task(longest=5, length=7, backwards=backwards)
    for split, count in (("train", 3000), ("test", 300)):
        for source, target in texts(task, 7, split, 0, count):
            first, second = (source[::-1] if backwards else source).split("+")
            assert int(target) == int(first) + int(second)
            assert all(number == str(int(number)) for number in (first, second, target)), "no zero in front"
            sizes = {len(first), len(second)}
            assert sizes <= set(range(1, 6)) if split == "train" else sizes == {7}
    digits = Counter(
        len(source[:: -1 if backwards else 1].split("+")[0]) for source, _ in texts(task, 7, "train", 0, 9000)
    )
    assert chisquare([digits[size] for size in range(1, 6)]).pvalue > 1e-3
    numbers = addition.Task(longest=1, length=1).numbers(0, "valid", 0, 20_000)
    assert chisquare(np.bincount(numbers.ravel(), minlength=10)).pvalue > 1e-3
    leading = addition.Task(length=2).numbers(0, "valid", 0, 20_000) // 10
    assert chisquare(np.bincount(leading.ravel(), minlength=10)[1:]).pvalue > 1e-3


# How they are laid out.


@every_task
def test_a_batch_shows_the_target_one_step_later(name: str) -> None:
    task = ALL[name]
    for part, split in task.load(0)._asdict().items():
        batch = split.batch(torch.tensor([0, 5, 9]))
        assert batch.source is not None
        assert batch.lengths is not None
        assert batch.mask is not None
        assert batch.source.dtype == batch.inputs.dtype == batch.targets.dtype == torch.int64
        assert batch.inputs[:, 0].tolist() == [START] * 3
        assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
        assert torch.equal(batch.mask, batch.targets != PAD)
        ends = (batch.targets == END).long()
        assert ends.sum(1).tolist() == [1] * 3
        assert torch.equal(batch.mask.sum(1) - 1, ends.argmax(1)), "END is the last symbol"
        assert torch.equal((batch.source != PAD).sum(1), batch.lengths)
        assert int(batch.lengths.max()) <= batch.source.shape[1]
        assert batch.source.max() < task.input.source
        assert batch.targets.max() < task.input.target == task.outputs
        assert max(batch.source.shape[1], batch.targets.shape[1]) <= task.steps
        assert batch.targets.shape[1] <= task.input.longest
        assert part == "train" or split.lengths is None or name.startswith("addition")


@every_task
def test_a_wider_layout_changes_no_total(name: str) -> None:
    """As on a GPU, where batches are padded to the width of a bucket."""
    small = replace(ALL[name], train=64, valid=8, test=8)
    run = api.make_run(str(parse(name)).partition("(")[0], "seq2seq(width=8)")
    network, split = run.make_network(small).eval(), small.load(0).train
    index = torch.arange(12)
    batches = split.batch(index), split.laid_out(index, split.sources.shape[1] + 7)
    assert batches[1].source.shape[1] > batches[0].source.shape[1]
    with torch.no_grad():
        one, other = (
            small.totals(network.read(batch.inputs, None, batch.lengths, batch.source), batch) for batch in batches
        )
    for metric, (total, count) in one.items():
        assert float(other[metric][1]) == float(count)
        assert float(other[metric][0]) == pytest.approx(float(total), rel=1e-5)


class Said:
    """An answer that writes what it is told."""

    def __init__(self, written: Tensor) -> None:
        self.written, self.asked = written, []

    def decoded(self, longest: int, beam: int) -> Tensor:
        self.asked.append((longest, beam))
        return self.written[:, :longest]

    def surprisal(self, targets: Tensor) -> Tensor:
        return targets.double()


def test_what_is_judged() -> None:
    """Symbols at their places, END included; whole targets; nats of the true symbols. Behind the end nothing counts."""
    targets = torch.tensor([[5, 6, END, PAD], [5, 6, 7, END], [6, END, PAD, PAD], [6, END, PAD, PAD]])
    written = torch.tensor([[5, 6, END, PAD], [5, 7, 7, END], [6, 6, END, PAD], [6, END, 9, 9]])
    batch = base.Batch(targets, targets, targets != PAD, source=targets)
    said, task = Said(written), replace(reverse.Task(), beam=3)
    found = {name: (float(total), float(count)) for name, (total, count) in task.totals(said, batch).items()}
    assert found == {
        "accuracy": (100 * (3 + 3 + 1 + 2), 11),
        "sequences": (200, 4),
        "loss": (float(5 + 6 + 2 + 5 + 6 + 7 + 2 + 6 + 2 + 6 + 2), 11),
    }
    assert said.asked == [(4, 3)], "as far as the longest target goes, with the beam of the task"
    assert float(task.loss(said, batch)) == pytest.approx(found["loss"][0] / 11)


def test_floors() -> None:
    """Of reversal and sorting from the chances; those of the others lie where a person would look."""
    assert reverse.Task(length=9, alphabet=4).metrics[0].floor == pytest.approx(100 * (9 / 4 + 1) / 10, abs=0.6)
    task = sort.Task(length=2, longest=5, values=3)  # the smaller is 0 in 5 of 9, the larger 2 in 5 of 9
    assert task.metrics[0].floor == pytest.approx(100 * (10 / 9 + 1) / 3, abs=0.6)
    assert 30 < date.Task().metrics[0].floor < 60, "19 or 20, two dashes, the end"
    assert all(np.isfinite(one.metrics[0].floor) for one in ALL.values())
    assert [metric.name for metric in task.metrics] == ["accuracy", "sequences", "loss"]
    assert [metric.solved_at for metric in task.metrics] == [None, 99.0, None]


@every_task
def test_at_a_length_that_was_never_trained(name: str) -> None:
    task = ALL[name]
    longer = task.at_length(task.longest + 4)
    assert replace(longer, length=task.length) == task
    assert longer.trained_lengths == (task.shortest, task.longest)
    assert (longer.input.source, longer.input.target) == (task.input.source, task.input.target)
    run = api.make_run(str(parse(name)).partition("(")[0], "seq2seq(width=8)")
    network, split = run.make_network(task), replace(longer, test=20).load(0).test
    scores = evaluate(network, longer, split)
    assert set(scores) == {"accuracy", "sequences", "loss"}
    assert all(np.isfinite(list(scores.values())))


# What a person writes.


def test_a_source_that_a_person_wrote() -> None:
    task = date.Task()
    assert "".join(task.symbols()[one] for one in task.encode("5 March 2019")) == "5 march 2019"
    assert sort.Task().encode("3 14  3") == [4, 15, 4]
    assert reverse.Task().decode([3, 4, END, PAD, 5]) == "ab"
    assert sort.Task().decode([5, 3, END]) == "2 0"
    assert task.decode([]) == ""


@pytest.mark.parametrize(
    ("task", "text", "words"),
    [
        (reverse.Task(), "", "reverse: the source is empty; at least one symbol is needed"),
        (sort.Task(), "  ", "sort: the source is empty"),
        (
            reverse.Task(alphabet=4),
            "abéd",
            "reverse: 'é', symbol 3 of the source, is unknown; sources have 'a', 'b', 'c', 'd'",
        ),
        (sort.Task(), "4 50", "sort: '50', symbol 2 of the source, is unknown; sources have '0', '1', '2' … '49'"),
        (addition.Task(), "1-2", "addition: '-', symbol 2 of the source, is unknown; sources have '+', '0', '1'"),
        (date.Task(), "5. märz 2019", "date: 'ä', symbol 5 of the source, is unknown"),
    ],
)
def test_sources_that_cannot_be_read(task: Any, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as found:
        task.encode(text)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: reverse.Task(alphabet=27), "reverse: alphabet must be from 2 to 26, got 27"),
        (lambda: reverse.Task(shortest=5, longest=4), "reverse: longest must be 5 or more, got 4"),
        (lambda: sort.Task(values=1), "sort: values must be from 2 to 1000, got 1"),
        (lambda: addition.Task(length=18), "addition: length must be from 1 to 17, got 18"),
        (
            lambda: date.Task(length=7),
            "date: length=7: no form of a date has so many characters; they have from 8 to 38",
        ),
        (lambda: date.Task(shortest=2, longest=5), "date: longest=5: no form of a date"),
        (lambda: reverse.Task(beam=0), "reverse: beam must be 1 or more, got 0"),
        (lambda: reverse.Task().examples(0, "tset", 0, 1), "split must be 'train', 'valid' or 'test', got 'tset'"),
    ],
)
def test_options_out_of_range(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        make()


@pytest.mark.parametrize(
    ("task", "model", "words"),
    [
        ("adding", "seq2seq", "seq2seq reads a source and writes a target, and this task shows one sequence"),
        ("reverse", "lstm", "lstm reads one sequence, and this task shows a source and asks for a target"),
    ],
)
def test_what_does_not_go_together_is_one_line(task: str, model: str, words: str) -> None:
    made = api.make_run("adding", "lstm").make_task() if task == "adding" else reverse.Task()
    with pytest.raises(UsageError, match=words) as found:
        sizing.sized(made, parse(model), None, 0.1, networks.head_for(made, None))
    assert "\n" not in str(found.value)


def test_reversal_is_learned_with_attention() -> None:
    """In a few hundred steps, of short strings of few letters."""
    run = api.make_run(
        "reverse(alphabet=6, longest=6, length=6, train=6400, valid=64, test=64)",
        "seq2seq(width=32, attention=luong-general)",
        epochs=4,
        batch=32,
        learning_rate=0.005,
    )
    curve = api.train(run).progress.curve
    assert curve[-1]["test"]["sequences"] > 60
    assert curve[0]["test"]["sequences"] < 5


def test_the_first_ids_are_the_special_ones() -> None:
    for task in ALL.values():
        assert task.symbols()[PAD] == ""
        assert task.input.target == _pairs.SPECIAL + len(task.target_symbols)
