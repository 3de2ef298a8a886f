"""The true files: what is in them, and the floors that are computed from them."""

from __future__ import annotations

import pytest
import torch
from seqbench.tasks import (
    _mnist,
    _music,
    base,
    datasets,
    jsb,
    muse,
    nottingham,
    permuted_mnist,
    piano,
    sequential_mnist,
)

pytestmark = pytest.mark.usefixtures("real_data")

MUSIC = {
    # pieces, frames and the lengths of the shortest and longest piece of each split; the two yardsticks as published
    "jsb": (jsb.Task, (229, 76, 77), (13_807, 4_602, 4_725), (25, 160), 11.09, 10.49),
    "nottingham": (nottingham.Task, (694, 173, 170), (176_561, 45_513, 44_463), (40, 1793), 10.26, 5.15),
    "muse": (muse.Task, (524, 135, 124), (245_202, 82_755, 64_339), (9, 4273), 11.51, 8.56),
    "piano": (piano.Task, (87, 12, 25), (75_911, 8_540, 19_036), (65, 3857), 11.05, 8.26),
}


def test_mnist_headers_and_counts() -> None:
    content = [datasets.read(remote) for remote in _mnist.REMOTES]
    assert [part[:8].hex() for part in content] == [
        "000008030000ea60",
        "000008010000ea60",
        "0000080300002710",
        "0000080100002710",
    ]
    assert content[0][8:16].hex() == content[2][8:16].hex() == "0000001c0000001c"
    assert [len(part) for part in content] == [47_040_016, 60_008, 7_840_016, 10_008]


def test_mnist_splits_and_floors() -> None:
    splits = sequential_mnist.Task().load(0)
    assert [len(split) for split in splits] == [55_000, 5_000, 10_000]
    train, valid, test = splits
    assert isinstance(train, base.Examples)
    assert isinstance(valid, base.Examples)
    assert isinstance(test, base.Examples)
    assert tuple(test.columns[1].bincount().tolist()) == _mnist.TEST_COUNTS
    pooled = sequential_mnist.Task(side=14).load(0)
    for side, white, parts in ((28, 255, splits), (14, 4 * 255, pooled)):
        pixels = torch.cat([part.columns[0] for part in parts[:2] if isinstance(part, base.Examples)]).double() / white
        assert pixels.mean().item() == pytest.approx(_mnist.SCALES[side][0], abs=5e-5)
        assert pixels.std().item() == pytest.approx(_mnist.SCALES[side][1], abs=5e-5)
    # each digit has its share in the held-out part
    shares = valid.columns[1].bincount() / train.columns[1].bincount() * 11
    assert shares.min() > 0.85
    assert shares.max() < 1.15
    assert train.columns[1][:10].tolist() == [5, 7, 7, 3, 1, 5, 1, 8, 6, 4]  # the shuffle never changes
    assert valid.columns[1][:10].tolist() == [3, 3, 5, 3, 3, 1, 3, 6, 6, 8]
    first = datasets.read(_mnist.REMOTES[3])[8:13]
    assert test.columns[1][:5].tolist() == list(first) == [7, 2, 1, 0, 4]


def test_permutations() -> None:
    assert permuted_mnist.rs92916()[:10] == [319, 576, 323, 107, 355, 716, 197, 20, 625, 60]
    assert permuted_mnist.bitrev()[:8] == [0, 512, 256, 768, 128, 640, 384, 64]
    index = torch.tensor([0])
    plain = sequential_mnist.Task(train=1).load(0).test.batch(index)
    for task in (permuted_mnist.Task(train=1), permuted_mnist.Task(permutation="bitrev", train=1)):
        batch = task.load(0).test.batch(index)
        assert torch.equal(batch.inputs, plain.inputs[:, task.order])
        assert torch.equal(batch.targets, plain.targets)


@pytest.mark.parametrize("name", MUSIC)
def test_music_counts_and_yardsticks(name: str) -> None:
    task_class, pieces, frames, (shortest, longest), marginal, markov = MUSIC[name]
    task = task_class()
    train, valid, test = task.load(0)
    assert isinstance(train, _music.Rolls)
    assert isinstance(valid, _music.Rolls)
    assert isinstance(test, _music.Rolls)
    assert (len(train), len(valid), len(test)) == pieces
    assert (len(train.frames), len(valid.frames), len(test.frames)) == frames
    frames_of = torch.cat((train.frames_of, valid.frames_of, test.frames_of))
    assert (int(frames_of.min()), int(frames_of.max())) == (shortest, longest)
    assert task.steps == longest - 1
    assert _music.marginal_yardstick(train, test) == pytest.approx(task.marginal, abs=5e-5)
    assert _music.markov_yardstick(train, test) == pytest.approx(task.markov, abs=5e-5)
    assert (round(task.marginal, 2), round(task.markov, 2)) == (marginal, markov)
    assert task.metrics[0].floor == task.marginal


def test_the_marginal_answer_of_a_network_scores_the_floor() -> None:
    task = jsb.Task()
    train, _, test = task.load(0)
    assert isinstance(train, _music.Rolls)
    targets = train.batch(torch.arange(len(train)))
    assert targets.mask is not None
    logits = (targets.targets[targets.mask].mean(0).clamp(min=1e-6)).logit()  # (88,)
    total = count = 0.0
    for index in torch.arange(len(test)).split(20):
        batch = test.batch(index)
        added, number = task.totals(logits.expand(*batch.targets.shape), batch)["nats"]
        total, count = total + float(added), count + float(number)
    assert count == 4_725 - 77
    assert total / count == pytest.approx(task.marginal, abs=2e-3)


def test_keys_down_at_a_time() -> None:
    for task_class, keys in ((jsb.Task, 3.9), (nottingham.Task, 3.96)):
        train = task_class().load(0).train
        assert isinstance(train, _music.Rolls)
        assert train.frames.sum(1).double().mean().item() == pytest.approx(keys, abs=0.06)
