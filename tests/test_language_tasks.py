"""The tasks on texts: judgement by hand, splits, symbols and yardsticks, on miniature and on tiny files."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import miniature
import numpy as np
import pytest
import torch
from distributions import Scores, always
from seqbench.tasks import _language, _passages, _yardsticks, base, lambada, ptb_char, ptb_word, text8, wikitext_103
from torch import Tensor

SMALL: dict[str, Callable[[], _language.Language]] = {
    "ptb-word": lambda: ptb_word.Task(context=4, scored=4),
    "ptb-char": lambda: ptb_char.Task(context=4, scored=4),
    "ptb-char spelled": lambda: ptb_char.Task(eos="spelled", context=4, scored=4),
    "wikitext-103": lambda: wikitext_103.Task(context=4, scored=4),
    "text8": lambda: text8.Task(context=4, scored=4),
    "lambada": lambda: lambada.Task(context=4, scored=4),
}
every_task = pytest.mark.parametrize("name", SMALL)


def reads_of(task: _language.Language, batch: base.Batch) -> int:
    """R of a batch."""
    if isinstance(batch.reads, Tensor):
        return batch.reads.shape[1]
    return task.reads if batch.reads is None else batch.reads


def guess(task: _language.Language, batch: base.Batch) -> Scores:
    """An answer that depends on the last input and the step, not on how examples are batched."""
    reads = reads_of(task, batch)
    steps = batch.reads if isinstance(batch.reads, Tensor) else torch.arange(-reads, 0).expand(len(batch.inputs), -1)
    last = batch.inputs.take_along_dim(steps % batch.inputs.shape[1], 1)  # (B, R)
    return Scores(torch.cos(last.unsqueeze(2) * 0.7 + torch.arange(task.outputs)))


def scores(task: base.Task, split: base.Split, answer: Callable[[base.Batch], Scores], size: int) -> dict[str, float]:
    """The metrics of a split, in batches of `size`; those of which it scores nothing are left out."""
    sums: dict[str, list[float]] = {}
    for index in torch.arange(len(split)).split(size):
        batch = split.batch(index)
        for name, (total, count) in task.totals(answer(batch), batch).items():
            pair = sums.setdefault(name, [0.0, 0.0])
            pair[0] += float(total)
            pair[1] += float(count)
    return {metric.name: metric.value(*sums[metric.name]) for metric in task.metrics if sums[metric.name][1]}


@every_task
def test_what_batches_are_like(name: str, miniature_data: Path) -> None:
    task = SMALL[name]()
    splits = task.load(0)
    assert isinstance(task.input, base.Tokens)
    assert task.input.vocabulary == task.outputs == len(task.symbols())
    assert len(set(task.symbols())) == task.outputs
    assert (task.steps, task.reads) == (8, 4)
    assert splits.train.in_streams(3).streams == 3
    for split in (splits.train.in_streams(3), splits.valid, splits.test):
        batch = split.batch(torch.arange(3))
        examples, steps = batch.inputs.shape
        assert (examples, batch.inputs.dtype, batch.targets.dtype) == (3, torch.int64, torch.int64)
        assert steps == (8 if split.lengths is None else int(split.lengths[:3].max()))
        assert batch.targets.shape == (3, reads_of(task, batch))
        for ids in (batch.inputs, batch.targets):
            assert 0 <= int(ids.min()) <= int(ids.max()) < task.outputs
        for part in (batch.mask, batch.group):
            assert (part is None) == (split is not splits.valid and split is not splits.test)
            assert part is None or part.shape == batch.targets.shape
        answer = Scores(torch.randn(*batch.targets.shape, task.outputs, requires_grad=True))
        loss = task.loss(answer, batch)
        assert loss.shape == ()
        mask = torch.ones_like(batch.targets, dtype=torch.bool) if batch.mask is None else batch.mask
        assert loss.item() == pytest.approx(answer.surprisal(batch.targets)[mask].mean().item())
        assert set(task.totals(answer, batch)) == {metric.name for metric in task.metrics}
        moved = split.to(torch.device("cpu")).batch(torch.arange(3))
        assert torch.equal(moved.inputs, batch.inputs)
        assert torch.equal(moved.targets, batch.targets)


@every_task
def test_scores_do_not_depend_on_how_examples_are_batched(name: str, miniature_data: Path) -> None:
    task = SMALL[name]()
    split = task.load(0).test
    whole = scores(task, split, lambda batch: guess(task, batch), len(split))
    assert len(whole) == len(task.metrics)
    for size in (1, split.streams or 7):
        assert scores(task, split, lambda batch: guess(task, batch), size) == pytest.approx(whole, rel=1e-12)


@every_task
def test_what_is_not_scored_does_not_matter(name: str, miniature_data: Path) -> None:
    task = SMALL[name]()
    batch = task.load(0).test.batch(torch.arange(25))
    assert batch.mask is not None
    assert not batch.mask.all()
    answer = guess(task, batch)
    loss, totals = task.loss(answer, batch), task.totals(answer, batch)
    nonsense = Scores(torch.where(batch.mask.unsqueeze(2), answer.values, torch.arange(float(task.outputs)) * 99))
    assert task.loss(nonsense, batch).item() == pytest.approx(loss.item())
    for metric, (total, count) in task.totals(nonsense, batch).items():
        assert float(total) == pytest.approx(float(totals[metric][0]))
        assert float(count) == float(totals[metric][1])


@every_task
def test_the_same_for_every_seed_and_shorter_with_train_and_held(name: str, miniature_data: Path) -> None:
    task = SMALL[name]()
    first = task.load(0)
    for split, again in zip(first, task.load(1), strict=True):
        assert torch.equal(split.batch(torch.arange(5)).targets, again.batch(torch.arange(5)).targets)
    shorter = type(task)(**{**task.options(), "train": 60, "held": 9})
    train, valid, test = shorter.load(0)
    assert torch.equal(train.batch(torch.arange(9)).inputs, first.train.batch(torch.arange(9)).inputs)
    assert len(train) == (60 - 4) // 4
    whole = scores(shorter, test, lambda batch: always([1 / task.outputs] * task.outputs, batch.targets), len(test))
    assert len(whole) == len(task.metrics)
    last = task.metrics[-1].name
    counts = []
    for split in (valid, test):
        batch = split.batch(torch.arange(len(split)))
        counts.append(int(task.totals(guess(task, batch), batch)[last][1]))
    assert counts == ([0, 9] if name == "lambada" else [9, 9])  # no control passages to validate on
    assert all(math.isnan(metric.floor) for metric in shorter.metrics)
    for options in ({"train": 60}, {"held": 9}, {"context": 6} if name != "lambada" else {"train": 61}):
        other = type(task)(**{**task.options(), **options})
        assert other.yardsticks() == other.yardsticks() != task.yardsticks()
    for option in ("train", "held"):
        with pytest.raises(ValueError, match=f"{option} must be from 1 to [0-9]+, got 1000000"):
            type(task)(**{**task.options(), option: 1_000_000}).load(0)


@every_task
def test_symbols_and_back(name: str, miniature_data: Path) -> None:
    task = SMALL[name]()
    lower = name == "lambada"
    text = "the fox was on the stock" if name == "text8" else "the fox was\non the stock"
    ids = task.encode(text)
    assert task.decode(ids).replace(" \n", "\n").replace("<eos>", "\n").strip() == text
    assert "".join(task.decode(ids[part : part + 1]) for part in range(len(ids))) == task.decode(ids)
    known = task.symbols()
    if isinstance(task, _language.Words):
        assert [known[number] for number in task.encode("xyzzy\n")] == ["<unk>", "<eos>"]
        assert (known[task.encode("The")[0]] == "the") == lower
    else:
        with pytest.raises(ValueError, match=f"^{name.split()[0]}: 'é' is not in the vocabulary of {task.outputs} "):
            task.encode("fox é")
    if name == "ptb-char spelled":
        assert task.decode(task.encode("a\nb")) == "a<eos>b"
    assert task.decode([]) == ""


def test_a_vocabulary_without_unk_names_the_word(miniature_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptb_word.Task, "symbols", lambda self: ["<eos>", "the"])
    with pytest.raises(ValueError, match=r"^ptb-word: 'fox' is not in the vocabulary of 2 symbols$"):
        ptb_word.Task().encode("the fox")


@every_task
def test_a_second_load_encodes_nothing(name: str, miniature_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = SMALL[name]()
    first, yardsticks = task.load(0), task.yardsticks()
    monkeypatch.setattr(type(task), "encoded_now", lambda self: pytest.fail("encoded again"))
    monkeypatch.setattr(_yardsticks, "nats", lambda *_: pytest.fail("counted again"))
    monkeypatch.setenv("SEQBENCH_MIRROR", str(miniature_data / "nowhere"))
    second = task.load(0)
    assert torch.equal(first.test.batch(torch.arange(4)).inputs, second.test.batch(torch.arange(4)).inputs)
    assert task.yardsticks() == yardsticks
    assert isinstance(task.encoded().texts["train"], np.memmap)


# Tiny files, counted on paper. The lines "a b a" and "a" to train on are a b a e a e, where e is the end of a line.
# Counts a 3, e 2, b 1 of N = 6, V = 3: P(a) = 4/9, P(e) = 3/9, P(b) = 2/9. Ids a 0, e 1, b 2. What follows what:
# after e comes a, 2 of 2; after a comes b 1 of 3 and e 2 of 3; after b comes a, 1 of 1.
TINY = {
    "ptb/ptb.train.txt": b"a b a\na\n",
    "ptb/ptb.valid.txt": b"b a\nb\n",
    "ptb/ptb.test.txt": b"a b\n",
}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ptb_word.Task:
    """The word task on the tiny files: of the test tokens a b e, the last two are in the scored set."""
    miniature.offer(tmp_path, monkeypatch, ptb_word.Task, TINY, vocabulary=3)
    return ptb_word.Task(context=1, scored=2)


def test_a_fixed_answer_by_hand(tiny: ptb_word.Task) -> None:
    """P(a) = 1/2, P(e) = P(b) = 1/4: b e costs 1/4 * 1/4, so 4 a word; a b e costs 1/32, so 32^(1/3) a word."""
    splits = tiny.load(0)
    found = scores(tiny, splits.test, lambda batch: always([0.5, 0.25, 0.25], batch.targets), 3)
    assert found == {"perplexity": pytest.approx(4), "perplexity_all": pytest.approx(32 ** (1 / 3))}
    # To train: e a b a e a before a b a e a e. One stream of 5 positions from the second on: windows (b a), (e a).
    batch = splits.train.batch(torch.arange(2))
    assert batch.inputs.tolist() == [[1, 0, 2], [2, 0, 1]]
    assert batch.targets.tolist() == [[2, 0], [1, 0]]
    answer = always([0.5, 0.25, 0.25], batch.targets)
    assert tiny.loss(answer, batch).item() == pytest.approx((2 * math.log(4) + 2 * math.log(2)) / 4)
    assert {name: float(count) for name, (_, count) in tiny.totals(answer, batch).items()} == {
        "perplexity": 4,
        "perplexity_all": 4,
    }


def test_unigram_and_bigram_by_hand(tiny: ptb_word.Task) -> None:
    """Unigram on b e: (2/9 * 3/9)^(-1/2) = sqrt(27/2).

    Bigram of weight w: after b nothing but a was seen, so P(b|a) = w/3 + (1-w) 2/9 = (2+w)/9, P(e|b) = (1-w)/3. On
    validation, b a e b e from the second on: P(a|b) = w + (1-w) 4/9 = (4+5w)/9, P(e|a) = w 2/3 + (1-w)/3 = (1+w)/3,
    P(b|e) = (1-w) 2/9, P(e|b) = (1-w)/3; the derivative of the log, 5/(4+5w) + 1/(1+w) - 2/(1-w), is 0 where
    20w² + 17w - 1 = 0.
    """
    weight = (math.sqrt(17**2 + 80) - 17) / 40
    found = tiny.yardsticks()
    assert [*found] == ["unigram", "bigram"]
    assert found["unigram"] == {"perplexity": pytest.approx(math.sqrt(27 / 2))}
    assert found["bigram"] == {"perplexity": pytest.approx(math.sqrt(27 / ((2 + weight) * (1 - weight))), rel=1e-6)}
    batch = tiny.load(0).test.batch(torch.arange(16))
    totals = tiny.totals(always([4 / 9, 3 / 9, 2 / 9], batch.targets), batch)
    assert tiny.metrics[0].value(*map(float, totals["perplexity"])) == pytest.approx(math.sqrt(27 / 2))
    assert tiny.metrics[1].value(*map(float, totals["perplexity_all"])) == pytest.approx((9 / 4 * 27 / 2) ** (1 / 3))


def test_yardsticks_against_plain_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_yardsticks, "_CHUNK", 7)
    draw = np.random.RandomState(3)
    train, valid, test = (draw.zipf(1.4, count).clip(max=6) - 1 for count in (200, 90, 90))
    for part in (train, valid, test):
        for place in np.flatnonzero(draw.rand(len(part) - 1) < 0.5):
            part[place + 1] = (part[place] + 1) % 3
    train[train == 4] = 0  # 4 is never seen
    found = _yardsticks.nats(train.astype(np.int16), 6, *(_yardsticks.pairs(part, 5) for part in (valid, test)))
    tokens = train[1:].tolist()
    alone = [(tokens.count(symbol) + 1) / (len(tokens) + 6) for symbol in range(6)]
    assert found.unigram == pytest.approx(-np.mean([math.log(alone[symbol]) for symbol in test[6:]]))

    def bigram(part: np.ndarray, weight: float) -> float:
        total = 0.0
        for before, wanted in pairwise(part[5:].tolist()):
            after = [tokens[place] for place in range(len(tokens)) if train[place] == before]
            share = after.count(wanted) / len(after) if after else alone[wanted]
            total -= math.log(weight * share + (1 - weight) * alone[wanted])
        return total / len(part[6:])

    assert found.bigram == pytest.approx(bigram(test, found.weight))
    assert 0.01 < found.weight < 0.99
    best = bigram(valid, found.weight)
    assert all(best < bigram(valid, found.weight + step) for step in (-0.01, 0.01))


def test_passages_by_hand() -> None:
    """Of three test passages the vocabulary lacks one target; the answer is always symbol 2, with probability 1/2."""
    ids = torch.tensor([0, 5, 2, 0, 4, 3, 4, 2, 0, 3, 1, 0], dtype=torch.int16)  # <eos> is 0, <unk> 1
    control = _passages.read(torch.tensor([0, 4, 0], dtype=torch.int16), unknown=1)
    test = _passages.read(ids, unknown=1)
    both = test.with_control(control)
    assert both.lengths.tolist() == [2, 4, 2, 1]
    batch = both.batch(torch.tensor([3, 0, 2, 1]))
    assert batch.inputs.tolist() == [[0, 0, 0, 0], [0, 5, 0, 0], [0, 3, 0, 0], [0, 4, 3, 4]]
    assert isinstance(batch.reads, Tensor)
    assert batch.mask is not None
    assert batch.group is not None
    assert batch.reads.tolist() == [[0], [1], [1], [3]]
    assert batch.targets.tolist() == [[4], [2], [1], [2]]
    assert batch.mask.tolist() == [[True], [True], [False], [True]]
    assert batch.group.tolist() == [[1], [0], [0], [0]]
    task = lambada.Task()
    answer = always([0.1, 0.1, 0.5, 0.1, 0.1, 0.1], batch.targets)
    totals = {name: (float(total), float(count)) for name, (total, count) in task.totals(answer, batch).items()}
    assert totals["perplexity"] == (pytest.approx(2 * math.log(2)), 2)  # 1/2 twice
    assert totals["accuracy"] == (200, 3)  # the unknown target is an error
    assert totals["control_perplexity"] == (pytest.approx(math.log(10)), 1)
    assert totals["control_accuracy"] == (0, 1)
    assert task.loss(answer, batch).item() == pytest.approx((2 * math.log(2) + math.log(10)) / 3)
    assert [part.tolist() for part in both.last_pairs()] == [[5, 4, 0], [2, 2, 4]]
    accuracy = task.metrics[1]
    assert accuracy.value(200, 3) == pytest.approx(200 / 3)
    assert accuracy.better(2, 1)
    sure_of_unknown = always([0.0, 1.0, 0, 0, 0, 0], batch.targets)
    assert float(task.totals(sure_of_unknown, batch)["accuracy"][0]) == 0  # naming <unk> is not an answer
