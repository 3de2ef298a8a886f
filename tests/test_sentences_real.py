"""The true files of SST-2, MR and the gaps in Penn Treebank: counts, floors, overlaps. Skipped without a mirror."""

from __future__ import annotations

from typing import Any

import pytest
from seqbench.tasks import _sentences, masked_word, mr, sst2

pytestmark = pytest.mark.usefixtures("real_data")


def floor_of(parts: Any) -> float:
    """Per cent of the test sentences that are of the class that is the more frequent in training."""
    train, _, test = parts
    frequent = int(2 * sum(one.label for one in train) > len(train))
    return 100 * sum(one.label == frequent for one in test) / len(test)


def test_sst2_counts_floor_and_unknown_words() -> None:
    task = sst2.Task()
    symbols, *parts = task.read()
    train, _, test = parts
    assert [len(part) for part in parts] == [6_920, 872, 1_821]
    assert floor_of(parts) == pytest.approx(task.floor) == pytest.approx(49.92, abs=0.01)
    assert max(len(one.words) for part in parts for one in part) == task.longest
    assert len(test) == task.test_answers
    known, words = {*symbols}, [word for one in train for word in one.words]
    assert words.count(symbols[-1]) >= 2, "each kept word occurs twice"
    shares = [sum(word not in known for one in part for word in one.words) for part in (train, test)]
    assert 100 * shares[0] / len(words) == pytest.approx(6.0, abs=0.05)
    assert 100 * shares[1] / sum(len(one.words) for one in test) == pytest.approx(9.7, abs=0.05)


def test_mr_counts_and_floors_of_all_folds() -> None:
    sizes = []
    for fold in range(mr.FOLDS):
        task = mr.Task(fold=fold)
        parts = task.sentences()
        assert floor_of(parts) == pytest.approx(task.floor)
        assert len(parts[2]) == task.test_answers
        sizes.append(len(parts[2]))
    assert sum(sizes) == 10_662
    raw = [_sentences.text_of(remote, "latin-1") for remote in mr.Task.remotes]
    assert sum(len(text.splitlines()) for text in raw) == 10_685, "as the docstring says"
    train, valid, test = mr.Task().sentences()
    assert [len(part) for part in (train, valid, test)] == [8_519, 1_095, 1_048]
    assert max(len(one.words) for part in (train, valid, test) for one in part) == mr.Task.longest


def test_half_of_the_test_sentences_of_sst2_stand_in_mr() -> None:
    sentences = {" ".join(one.words) for part in mr.Task().sentences() for one in part}
    test = [" ".join(one.words) for one in sst2.Task().sentences()[2]]
    assert sum(text in sentences for text in test) == 815
    assert len(test) == 1_821


def test_the_floors_of_the_gaps() -> None:
    task = masked_word.Task()
    assert task.yardsticks()["unigram"]["perplexity"] == pytest.approx(task.metrics[0].floor, abs=1e-3)
    words = task._words("test")
    assert len(words) == 82_400
    assert 100 * (words == 0).mean() == pytest.approx(task.metrics[1].floor, abs=1e-3)
    assert task.symbols()[0] == "the"
