"""The true texts that are there: their counts, the windows that are cut of them, and the floors computed from them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from distributions import Scores
from seqbench.tasks import _language, _text, _yardsticks, datasets, lambada, ptb_char, ptb_word, wikitext_103

pytestmark = pytest.mark.usefixtures("real_data")

PTB: dict[str, tuple[Callable[[], _language.Language], tuple[int, int, int], int, float, float]] = {
    # tokens of each split; test tokens in the scored set; the unigram's and the bigram's score
    "words": (ptb_word.Task, (929_589, 73_760, 82_430), 82_390, 639.7, 208.3),
    "characters": (ptb_char.Task, (5_101_618, 399_782, 449_945), 449_865, 4.3151, 3.3121),
    "spelled": (lambda: ptb_char.Task(eos="spelled"), (5_269_890, 413_262, 464_989), 464_909, 4.3012, 3.3044),
}


def mirrored(name: str) -> bytes:
    """A file of the mirror that no task reads as it stands."""
    return (Path(os.environ["SEQBENCH_MIRROR"]) / name).read_bytes()


@pytest.mark.parametrize("name", PTB)
def test_treebank_counts_and_yardsticks(name: str) -> None:
    make, tokens, scored, unigram, bigram = PTB[name]
    task = make()
    texts = {part: task.text(part) for part in ("train", "valid", "test")}
    assert tuple(len(ids) - 1 for ids in texts.values()) == tokens
    counts = texts["train"][1:].bincount()
    assert len(counts) == task.outputs == len(task.symbols())
    assert (counts.diff() <= 0).all()  # frequent to rare
    assert counts.min() > 0
    counted, in_set = 0, 0
    test = task.load(0).test
    for index in torch.arange(len(test)).split(test.streams or 1):
        batch = test.batch(index)
        assert batch.mask is not None
        assert batch.group is not None
        counted, in_set = counted + int(batch.mask.sum()), in_set + int((batch.mask & (batch.group == 1)).sum())
    assert (counted, in_set) == (tokens[2], scored)
    (first,) = task.metrics[:1]
    assert task.yardsticks() == {
        "unigram": {first.name: pytest.approx(unigram, abs=0.05 if name == "words" else 5e-5)},
        "bigram": {first.name: pytest.approx(bigram, abs=0.05 if name == "words" else 5e-5)},
    }
    train, valid, asked = (texts[part].numpy() for part in ("train", "valid", "test"))
    for metric, context in zip(task.metrics, (task.context, 0), strict=True):
        pairs = (_yardsticks.pairs(valid, context), _yardsticks.pairs(asked, context))
        found = _yardsticks.nats(train, task.outputs, *pairs)
        assert metric.value(found.unigram, 1) == pytest.approx(metric.floor, rel=1e-6)


@pytest.mark.parametrize("name", PTB)
def test_the_unigram_answer_of_a_network_scores_the_floor(name: str) -> None:
    task = PTB[name][0]()
    counts = task.text("train")[1:].bincount(minlength=task.outputs).double()
    answer = ((counts + 1) / (counts.sum() + task.outputs)).log()
    sums = {metric.name: [0.0, 0.0] for metric in task.metrics}
    test = task.load(0).test
    for index in torch.arange(len(test)).split(test.streams or 1):
        batch = test.batch(index)
        for metric, (total, count) in task.totals(Scores(answer, *batch.targets.shape), batch).items():
            sums[metric][0] += float(total)
            sums[metric][1] += float(count)
    for metric in task.metrics:
        assert metric.value(*sums[metric.name]) == pytest.approx(metric.floor, rel=1e-6)


def test_treebank_windows() -> None:
    words = ptb_word.Task()
    train = words.load(0).train.in_streams(16)
    assert len(train) == 16 * 1452  # as many steps an epoch as the published script takes
    assert train.batch(torch.arange(16)).inputs.shape == (16, 80)
    known = words.symbols()
    assert known[:6] == ["the", "<unk>", "<eos>", "N", "of", "to"]
    batch = words.load(0).test.batch(torch.tensor([0]))
    text = mirrored("ptb/ptb.test.txt").decode().replace("\n", "<eos>").split()
    assert [known[number] for number in batch.inputs[0].tolist()] == ["<eos>", *text[:79]]
    assert [known[number] for number in batch.targets[0].tolist()] == text[:80]
    start = words.decode(words.text("test")[1:13].tolist())
    assert start == "no it was n't black monday \nbut while the new york "


@pytest.mark.parametrize("name", PTB)
def test_a_text_comes_back_from_its_ids(name: str) -> None:
    task = PTB[name][0]()
    for part in ("train", "valid", "test"):
        text = mirrored(f"ptb/ptb.{part}.txt").decode()
        back = task.decode(task.text(part)[1:].tolist())
        if name == "words":
            assert back == "\n".join("".join(f"{word} " for word in line.split()) for line in text.split("\n"))
            assert task.encode(text) == task.text(part)[1:].tolist()
        else:
            assert back == (text.replace("\n", "<eos>") if name == "spelled" else text)
            assert task.encode(text) == task.text(part)[1:].tolist()


def test_wikitext_of_the_same_articles() -> None:
    """WikiText-2 has the validation and test articles of WikiText-103, with more words as `<unk>`."""
    for name, tokens in (("valid", 217_646), ("test", 245_569)):
        content = mirrored(f"wikitext-2/{name}.txt")
        words = content.split()
        size = len({*words}) + 1
        encoded = _text.encode_words({"train": _text.given(f"{name}.txt", content)}, size)
        assert len(encoded.texts["train"]) - 1 == tokens == len(words) + content.count(b"\n")
        assert "<unk>" in encoded.symbols
        ids = encoded.texts["train"]
        assert ids[0] == encoded.symbols.index("<eos>")
        assert (ids == ids[0]).sum() - 1 == content.count(b"\n")  # blank lines as well
    assert wikitext_103.Task().outputs == 267_735


def test_the_list_of_words_of_lambada() -> None:
    remote = lambada.Task.remotes[1]
    words = _text.word_list(remote)
    assert len(words) == 93_215 == lambada.Task().outputs - 2
    assert words == datasets.read(remote).decode().split()
    assert not {"<eos>", "<unk>"} & {*words}
    assert all(word == word.lower() for word in words)
