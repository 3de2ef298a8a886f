"""Sentences with a class: how the files are read and refused, the folds, the vocabulary, padding; and words in gaps."""

from __future__ import annotations

import doctest
from collections import Counter
from pathlib import Path
from typing import Any

import miniature
import miniature_texts
import pytest
import torch
from fingerprints import numbers
from seqbench.bench import api
from seqbench.bench.engine.evaluation import evaluate
from seqbench.bench.engine.steps import answer
from seqbench.bench.errors import UsageError
from seqbench.models.network import Network
from seqbench.tasks import _sentences, base, masked_word, mr, ptb_word, sst2
from seqbench.tasks.datasets import DataError

MODELS = ["bidirectional(width=4)", "bidirectional(width=4, cell=gru, readout=max)", "gru(width=4)", "tcn(width=4)"]
SENTENCES: list[Any] = [sst2.Task(words=20), mr.Task(words=20), mr.Task(fold=7, words=20)]
every_task = pytest.mark.parametrize("task", SENTENCES, ids=str)


def made(task: base.Task, model: str) -> Network:
    name = type(task).__module__.rpartition(".")[2].replace("_", "-")
    options = ", ".join(f"{key}={value}" for key, value in task.options().items() if value is not None)
    return api.make_run(f"{name}({options})", model).make_network(task).eval()


@pytest.mark.parametrize("module", [_sentences, sst2, mr, masked_word])
def test_the_examples_in_the_documentation(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


@every_task
def test_batches_are_padded_behind_and_read_at_the_last_word(task: Any, miniature_data: Path) -> None:
    symbols, *parts = task.read()
    for sentences, split in zip(parts, task.load(0), strict=True):
        index = torch.tensor([2, 0, 5])
        batch = split.batch(index)
        lengths = [len(sentences[place].words) for place in index.tolist()]
        assert split.lengths[index].tolist() == batch.lengths.tolist() == lengths
        assert batch.inputs.shape == (3, max(lengths))
        assert batch.reads.tolist() == [[length - 1] for length in lengths]
        assert batch.targets.tolist() == [[sentences[place].label] for place in index.tolist()]
        for row, place, length in zip(batch.inputs.tolist(), index.tolist(), lengths, strict=True):
            words = [word if word in symbols else "<unk>" for word in sentences[place].words]
            assert [symbols[number] for number in row] == words + ["<pad>"] * (max(lengths) - length)
        wider = split.laid_out(index, 40)
        assert torch.equal(wider.inputs[:, : max(lengths)], batch.inputs)
        assert not wider.inputs[:, max(lengths) :].any()


@every_task
@pytest.mark.parametrize("model", MODELS)
def test_padding_changes_no_score(task: Any, model: str, miniature_data: Path) -> None:
    network, split = made(task, model), task.load(0).test
    index = torch.arange(8)
    assert len(set(split.lengths[index].tolist())) > 2
    with torch.no_grad():
        together, _ = answer(network, split, split.laid_out(index, 30))
        alone = torch.cat([answer(network, split, split.batch(one[None]))[0] for one in index])
    torch.testing.assert_close(numbers(together), numbers(alone), rtol=0, atol=1e-5)
    whole = task.totals(together, split.batch(index))
    assert float(whole["accuracy"][1]) == 8
    one_by_one = [task.totals(alone[place : place + 1], split.batch(index[place : place + 1])) for place in range(8)]
    for name in ("accuracy", "loss"):
        assert float(whole[name][0]) == pytest.approx(sum(float(one[name][0]) for one in one_by_one), rel=1e-4)


def test_a_bidirectional_network_learns_the_miniature(miniature_data: Path) -> None:
    run = api.make_run("sst2(words=20)", "bidirectional(width=4, cell=gru)", epochs=8, batch=8, learning_rate=0.02)
    outcome = api.train(run)
    assert outcome.progress.curve[-1]["test"]["accuracy"] > 80
    task = run.make_task()
    assert evaluate(outcome.network, task, task.load(0).test)["accuracy"] > 80
    with pytest.raises(UsageError, match="is not causal"):
        api.train(api.make_run("jsb", "bidirectional(width=2)", epochs=1))


def test_the_vocabulary_is_of_the_training_part_alone() -> None:
    train = [_sentences.Sentence(("b", "a", "a", "<unk>", "c", "é"), 1)]
    assert _sentences.vocabulary(train, 4, "x") == ["<pad>", "<unk>", "a", "b", "c", "é"]
    split = _sentences.Sentences.of([_sentences.Sentence(("z", "a", "<pad>", "<unk>"), 0)], ["<pad>", "<unk>", "a"])
    assert split.batch(torch.tensor([0])).inputs.tolist() == [[1, 2, 1, 1]], "no word of a text is taken for a pad"
    with pytest.raises(DataError, match="x has 4 different words, fewer than words=5"):
        _sentences.vocabulary(train, 5, "x")


def test_symbols_and_back(miniature_data: Path) -> None:
    task = sst2.Task(words=20)
    ids = task.encode("zebra fox unheard-of")
    assert task.decode(ids) == "zebra fox <unk> "
    gaps = masked_word.Task(length=8, gaps=2)
    assert gaps.decode(gaps.encode("the <mask> fox\n")) == "the <mask> fox <eos> "


def test_lines_and_words_are_cut_as_the_files_are(miniature_data: Path) -> None:
    train = sst2.Task(words=20).read()[1]
    assert [word for sentence in train for word in sentence.words if "\u00a0" in word], "within a word"
    parts = mr.Task(words=20).read()[1:]
    sentences = [sentence for part in parts for sentence in part]
    texts = miniature_texts.reviews()
    raw = [texts[f"mr/rt-polarity.{name}"] for name in ("neg", "pos")]
    assert len(sentences) == sum(text.count(b"\n") for text in raw)
    assert sum(len(text.decode("latin-1").splitlines()) for text in raw) == len(sentences) + 2, "0x85 ends a line there"
    assert Counter(word for sentence in sentences for word in sentence.words)["on\u2026"] == 2


def test_folds_are_parts_of_the_whole_and_equal_sentences_stay_together(miniature_data: Path) -> None:
    tests = []
    for fold in range(10):
        train, valid, test = mr.Task(fold=fold, words=10).read()[1:]
        folds = [{_sentences.fold_of(one.words, 10) for one in part} for part in (train, valid, test)]
        assert folds[2] <= {fold}
        assert folds[1] <= {(fold + 1) % 10}
        assert not folds[0] & (folds[1] | folds[2])
        assert len({one.label for one in train[:12]}) == 2, "the first of the training part are of both classes"
        tests += test
    assert len(tests) == len(train) + len(valid) + len(test)
    few = mr.Task(words=10, train=12).read()[1]
    assert few == mr.Task(words=10).read()[1][:12]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1 fine\n2 dull\n", r"sst2/stsa\.binary\.train:2: the label must be 0 or 1, got '2'"),
        (b"1 fine\n\n\nno label\n", r"sst2/stsa\.binary\.train:4: the label must be 0 or 1, got 'no'"),
        (b"1 fine\n0 \n", r"sst2/stsa\.binary\.train:2: a sentence without a word"),
        (b"1 fine\n0 caf\xe9 .\n", r"sst2/stsa\.binary\.train:2: byte 0xe9 is not utf-8 text; .* another encoding"),
        (b"", r"sst2/stsa\.binary\.train is empty"),
    ],
)
def test_bad_files_are_refused_with_their_line(
    content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = b"1 fine\n0 dull\n"
    contents = {remote.filename: good for remote in sst2.Task.remotes} | {"sst2/stsa.binary.train": content}
    miniature.offer(tmp_path, monkeypatch, sst2.Task, contents)
    with pytest.raises(DataError, match=message) as caught:
        sst2.Task(words=1).load(0)
    assert "\n" not in str(caught.value)


def test_a_byte_that_windows_1252_lacks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {"mr/rt-polarity.neg": b"dull \n", "mr/rt-polarity.pos": b"fine \nfine \x81 \n"}
    miniature.offer(tmp_path, monkeypatch, mr.Task, contents)
    with pytest.raises(DataError, match=r"mr/rt-polarity\.pos:2: byte 0x81 is not cp1252 text"):
        mr.Task(words=1).load(0)


def test_options_out_of_range_are_refused() -> None:
    for make, message in (
        (lambda: sst2.Task(words=0), "sst2: words must be 1 or more"),
        (lambda: mr.Task(fold=10), "mr: fold must be from 0 to 9"),
        (lambda: masked_word.Task(length=10, gaps=4), "masked-word: gaps must divide length=10, got 4"),
        (lambda: masked_word.Task(views=11), "masked-word: views must be from 1 to 10"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_each_word_is_asked_for_once_and_never_shown(miniature_data: Path) -> None:
    task = masked_word.Task(length=8, gaps=2)
    words = task._words("test")
    split = task.load(0).test
    asked = []
    for start in range(0, len(split), 4):
        batch = split.batch(torch.arange(start, start + 4))  # all examples of a window
        reads = batch.reads
        assert isinstance(reads, torch.Tensor)
        assert sorted(reads.flatten().tolist()) == [*range(8)]
        window = words[start // 4 * 8 : start // 4 * 8 + 8].tolist()
        for inputs, places, targets in zip(batch.inputs.tolist(), reads.tolist(), batch.targets.tolist(), strict=True):
            assert [inputs[place] for place in places] == [task.outputs - 1] * 2
            assert [window[place] for place in places] == targets
            assert [one for step, one in enumerate(inputs) if step not in places] == [
                one for step, one in enumerate(window) if step not in places
            ]
        asked += batch.targets.flatten().tolist()
    assert Counter(asked) == Counter(words.tolist())
    assert len(masked_word.Task(length=8, gaps=2, views=1).load(0).train) * 4 == len(task.load(0).train)
    assert set(task.yardsticks()) == {"unigram", "bigram"}


def test_a_gap_is_seen_from_both_sides_by_a_bidirectional_network_alone(miniature_data: Path) -> None:
    task = masked_word.Task(length=8, gaps=2)
    split = task.load(0).test
    batch = split.batch(torch.arange(4))
    reads = batch.reads
    assert isinstance(reads, torch.Tensor)
    behind = torch.arange(8) > reads.max(1, keepdim=True).values  # (B, T)
    changed = batch._replace(inputs=torch.where(behind, 0, batch.inputs))
    assert not torch.equal(changed.inputs, batch.inputs)
    for model, sees in (("bidirectional(width=4)", True), ("gru(width=4)", False)):
        network = made(task, model)
        with torch.no_grad():
            one, other = (numbers(answer(network, split, shown)[0]) for shown in (batch, changed))
        assert torch.allclose(one, other) != sees
    assert not task.asks_causality
    assert task.symbols() == [*ptb_word.Task().symbols(), "<mask>"]
