"""The synthetic tasks' examples: known answers, a second implementation, and independence of how they are asked for."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any, Literal

import numpy as np
import pytest
import torch
from counted_draws import MASK, below, digest, example_draws, splitmix64
from scipy.stats import chisquare
from seqbench.tasks import _random, adding, copy_memory


def adding_oracle(name: str, index: int, length: int, halves: bool) -> tuple[np.ndarray, np.ndarray]:
    """One example of the adding problem, slowly."""
    draws = example_draws(f"adding/{name.replace('*', 'values')}", index)
    values = [np.float32(next(draws) >> 40) / np.float32(1 << 24) for _ in range(length)]
    draws = example_draws(f"adding/{name.replace('*', 'marks')}", index)
    if halves:
        marks = [below(draws, length // 2), length // 2 + below(draws, length - length // 2)]
    else:
        first, second = below(draws, length), below(draws, length - 1)
        marks = sorted((first, second + (second >= first)))
    return np.array(values, np.float32), np.array(marks, np.int32)


def test_splitmix64_known_answers() -> None:
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    published.append(16408922859458223821)
    assert _random.draws(np.uint64(1234567), 0, 5).tolist() == published
    assert _random.draws(np.uint64(1234567), 3, 2).tolist() == published[3:]
    oracle = splitmix64(MASK)
    assert _random.draws(np.uint64(MASK), 0, 100).tolist() == [next(oracle) for _ in range(100)]


def test_streams_are_named_and_seeded() -> None:
    names = [_random.stream("adding/train"), _random.stream("adding/train", 0), _random.stream("adding/train", 1)]
    assert len(set(names)) == 3
    assert int(_random.stream("a")) == int.from_bytes(hashlib.sha256(b"a").digest()[:8], "little")
    assert _random.split_stream("adding", "train", "values", 0) != _random.split_stream("adding", "train", "values", 1)
    assert _random.split_stream("adding", "test", "values", 0) == _random.split_stream("adding", "test", "values", 1)
    with pytest.raises(ValueError, match="split must be 'train', 'valid' or 'test', got 'tset'"):
        _random.split_stream("adding", "tset", "values", 0)


@pytest.mark.parametrize("marks", ["anywhere", "halves"])
@pytest.mark.parametrize("length", [2, 3, 57])
def test_adding_equals_the_oracle(length: int, marks: Literal["anywhere", "halves"]) -> None:
    task = adding.Task(length=length, marks=marks)
    for split, name in (("train", "train/*/7"), ("valid", "valid/*/7"), ("test", "test/*")):
        values, positions = task.examples(7, split, 3, 20)
        expected = [adding_oracle(name, index, length, marks == "halves") for index in range(3, 23)]
        assert values.tobytes() == np.stack([row[0] for row in expected]).tobytes()
        assert positions.tobytes() == np.stack([row[1] for row in expected]).tobytes()


def test_copy_memory_equals_the_oracle() -> None:
    (digits,) = copy_memory.Task().examples(7, "train", 3, 50)
    expected = []
    for index in range(3, 53):
        draws = example_draws("copy-memory/train/digits/7", index)
        expected.append([1 + below(draws, 8) for _ in range(10)])
    assert digits.tobytes() == np.array(expected, np.uint8).tobytes()


@pytest.mark.parametrize("bound", [1, 2, 3, 64, 255, 256])
def test_bounded_integers_equal_the_oracle(bound: int) -> None:
    key = _random.stream("bounded")
    numbers = _random.integers(key, 0, 40, 30, 0, bound)
    for index, row in enumerate(numbers.tolist()):
        draws = example_draws("bounded", index)
        assert row == [below(draws, bound) for _ in range(30)]


def test_rejection_is_exact_where_it_matters() -> None:
    # With a bound of 3 * 2**30 a quarter of the draws must be refused, so that each number is as likely.
    bound = 3 << 30
    refused = 0
    for index, key in enumerate(_random.draws(_random.stream("rejection"), 0, 2_000)):
        number, following = _random._below(key, np.uint64(0), np.uint64(bound))
        assert int(number) == below(example_draws("rejection", index), bound)
        refused += int(following) > 1
    assert 400 < refused < 600


GOLDEN: dict[str, tuple[Any, str]] = {
    "adding(length=600)": (adding.Task(), "9d4dce4e53ee4e8a 66880ff7327b4f20 32346a70d6574bb0"),
    "adding(length=600, marks=halves)": (
        adding.Task(marks="halves"),
        "2ac4517ea78ad888 6eed79b531f9d8c6 e6f4f368cf5c2742",
    ),
    "copy-memory": (copy_memory.Task(), "4adf41bdbbbe4453 1d27ba9c1de583e7 011b59241d092bf2"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_bytes(name: str) -> None:
    """These change only together with the task's version."""
    task, expected = GOLDEN[name]
    found = [digest(*task.examples(seed, split, 0, 200)) for seed, split in ((0, "train"), (0, "valid"), (0, "test"))]
    assert " ".join(found) == expected


def test_golden_permutation() -> None:
    order = _random.permutation(_random.stream("mnist/valid"), 60_000)
    assert sorted(order.tolist()) == list(range(60_000))
    keys = splitmix64(int.from_bytes(hashlib.sha256(b"mnist/valid").digest()[:8], "little"))
    by_draw = sorted((draw, index) for index, draw in zip(range(60_000), keys, strict=False))
    assert order.tolist() == [index for _, index in by_draw]
    assert order[:5].tolist() == [47027, 49108, 35747, 18796, 3684]


@pytest.mark.parametrize("task", [adding.Task(length=33), adding.Task(length=33, marks="halves"), copy_memory.Task()])
def test_any_chunk_and_any_number_of_threads(task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = task.examples(5, "train", 0, 101)
    monkeypatch.setattr(_random, "_WORTH_A_THREAD", 1)
    for threads in (2, 3, 64, 200):
        assert digest(*task.examples(5, "train", 0, 101, threads)) == digest(*whole)
    for edges in ([0, 1, 101], [0, 50, 51, 101], [*range(102)]):
        chunks = [task.examples(5, "train", a, b - a) for a, b in itertools.pairwise(edges)]
        joined = [np.concatenate(columns) for columns in zip(*chunks, strict=True)]
        assert digest(*joined) == digest(*whole)
    assert all(len(column) == 0 for column in task.examples(5, "train", 7, 0))
    with pytest.raises(ValueError, match="start must be 0 or more and threads 1 or more, got -1 and 1"):
        task.examples(5, "train", -1, 1)


def test_seeds_and_splits_differ_and_test_is_fixed() -> None:
    for task in (adding.Task(length=50), copy_memory.Task()):
        parts = [digest(*task.examples(seed, split, 0, 50)) for seed in (0, 1) for split in ("train", "valid", "test")]
        assert len(set(parts)) == 5
        assert parts[2] == parts[5]


def test_a_load_holds_its_examples() -> None:
    splits = adding.Task(length=12, train=40, valid=7, test=5).load(3)
    assert [len(split) for split in splits] == [40, 7, 5]
    values, marks = adding.Task(length=12).examples(3, "train", 0, 40)
    batch = splits.train.batch(torch.tensor([39, 0]))
    assert torch.equal(batch.inputs[0, :, 0], torch.from_numpy(values[39]))
    assert batch.inputs[0, :, 1].nonzero().flatten().tolist() == marks[39].tolist()
    torch.testing.assert_close(
        batch.targets, torch.from_numpy(values[[39, 0]][np.arange(2)[:, None], marks[[39, 0]]].sum(1))
    )


def test_threads_of_torch_are_left_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        adding.Task().examples(0, "train", 0, 1000, threads=2)
        torch.ones(100_000).sum()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_values_are_uniform() -> None:
    values, _ = adding.Task(length=100).examples(0, "train", 0, 10_000)
    assert values.min() >= 0
    assert values.max() < 1
    assert chisquare(np.histogram(values, 256, (0, 1))[0]).pvalue > 1e-3
    assert chisquare(np.bincount((values * 2**24).astype(np.int64).ravel() % 256)).pvalue > 1e-3  # the lowest bits too
    assert abs(np.corrcoef(values[:, :-1].ravel(), values[:, 1:].ravel())[0, 1]) < 4e-3  # from step to step
    assert abs(np.corrcoef(values[:-1].ravel(), values[1:].ravel())[0, 1]) < 4e-3  # from example to example


def test_marks_anywhere_are_distinct_and_each_pair_is_as_likely() -> None:
    _, marks = adding.Task(length=9).examples(0, "train", 0, 72_000)
    assert (marks[:, 0] < marks[:, 1]).all()
    pairs = np.bincount(marks[:, 0] * 9 + marks[:, 1], minlength=81).reshape(9, 9)
    assert pairs.sum() == pairs[np.triu_indices(9, 1)].sum() == 72_000
    assert chisquare(pairs[np.triu_indices(9, 1)]).pvalue > 1e-3


def test_marks_in_halves_are_uniform_in_each() -> None:
    _, marks = adding.Task(length=9, marks="halves").examples(0, "train", 0, 72_000)
    pairs = np.bincount(marks[:, 0] * 9 + marks[:, 1], minlength=81).reshape(9, 9)
    assert pairs[:4, 4:].sum() == 72_000
    assert chisquare(pairs[:4, 4:].ravel()).pvalue > 1e-3


def test_digits_are_uniform() -> None:
    (digits,) = copy_memory.Task().examples(0, "train", 0, 20_000)
    assert chisquare(np.bincount(digits.ravel(), minlength=9)[1:]).pvalue > 1e-3
    assert digits.min() == 1
    assert digits.max() == 8


def test_the_first_adding_example_in_words() -> None:
    # The numbers 0.98 0.11 0.52 0.70 0.93 0.36; the last two are marked; their sum is asked for.
    batch = adding.Task(length=6).load(1).train.batch(torch.tensor([0]))
    assert batch.inputs.shape == (1, 6, 2)
    assert [round(number, 2) for number in batch.inputs[0, :, 0].tolist()] == [0.98, 0.11, 0.52, 0.70, 0.93, 0.36]
    assert batch.inputs[0, :, 1].tolist() == [0, 0, 0, 0, 1, 1]
    assert batch.targets.item() == pytest.approx(0.9339 + 0.3643, abs=1e-4)


def test_what_is_shown_equals_the_plain_construction() -> None:
    task = adding.Task(length=31)
    values, marks = map(torch.from_numpy, task.examples(0, "train", 0, 40))
    marked = torch.zeros_like(values).scatter(1, marks.long(), 1.0)
    shown = task.present(values, marks)
    assert torch.equal(shown.inputs, torch.stack((values, marked), dim=2))
    assert shown.inputs.is_contiguous()
    assert torch.equal(shown.targets, (values * marked).sum(1))
    assert torch.equal(values, torch.from_numpy(task.examples(0, "train", 0, 40)[0]))  # left as they are


@pytest.mark.parametrize("delay", [1, 2, 30])
def test_copy_memory_in_words(delay: int) -> None:
    batch = copy_memory.Task(delay=delay).load(1).train.batch(torch.tensor([0]))
    digits = [1, 1, 2, 4, 8, 6, 2, 2, 5, 2]
    assert batch.inputs[0, :, 0].tolist() == digits + [0] * (delay - 1) + [9] * 11
    assert batch.targets[0].tolist() == [0] * (delay + 10) + digits
    one_hot = copy_memory.Task(delay=delay, coding="one-hot").load(1).train.batch(torch.tensor([0]))
    assert one_hot.inputs.shape == (1, delay + 20, 10)
    assert one_hot.inputs.dtype == torch.float32
    assert torch.equal(one_hot.inputs.argmax(2), batch.inputs[..., 0].long())
    assert torch.equal(one_hot.inputs.sum(2), torch.ones(1, delay + 20))
    assert torch.equal(one_hot.targets, batch.targets)
