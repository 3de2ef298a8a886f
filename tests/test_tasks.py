"""Every task's judgement and shapes, on generated and miniature data."""

from __future__ import annotations

import doctest
import importlib
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import miniature
import pytest
import torch
from scipy.io import savemat
from seqbench.tasks import _mnist, _music, adding, base, copy_memory, jsb, muse, nottingham, permuted_mnist, piano
from seqbench.tasks import sequential_mnist as smnist
from seqbench.tasks.datasets import DataError, Remote

TASKS_FOLDER = Path(adding.__file__).parent
MODULES = sorted(path.stem for path in TASKS_FOLDER.glob("*.py") if path.stem != "__init__")
TASKS: list[Callable[[], base.Task]] = [
    lambda: adding.Task(length=20, train=64, valid=32, test=16),
    lambda: adding.Task(length=20, marks="halves", train=64, valid=32, test=16),
    lambda: copy_memory.Task(delay=5, train=64, valid=32, test=16),
    lambda: copy_memory.Task(delay=5, coding="one-hot", train=64, valid=32, test=16),
    smnist.Task,
    lambda: smnist.Task(view="rows"),
    permuted_mnist.Task,
    lambda: permuted_mnist.Task(permutation="bitrev"),
    jsb.Task,
    nottingham.Task,
    muse.Task,
    piano.Task,
]
MUSIC = [jsb.Task, nottingham.Task, muse.Task, piano.Task]


def constant(logits: list[float] | torch.Tensor, batch: base.Batch, task: base.Task) -> torch.Tensor:
    """The head's outputs (B, R, O) of a network that always answers the same."""
    reads = batch.inputs.shape[1] if task.reads is None else task.reads
    return torch.as_tensor(logits, dtype=torch.float32).expand(len(batch.inputs), reads, task.outputs)


def scores(task: base.Task, outputs: torch.Tensor, batch: base.Batch) -> dict[str, float]:
    totals = task.totals(outputs, batch)
    return {metric.name: metric.value(*(float(part) for part in totals[metric.name])) for metric in task.metrics}


@pytest.mark.parametrize("make", TASKS)
def test_shapes_types_and_devices(make: Callable[[], base.Task], miniature_data: Path) -> None:
    task = make()
    for split in task.load(0):
        index = torch.arange(min(len(split), 3)).flip(0)
        batch = split.batch(index)
        steps = batch.inputs.shape[1]
        assert isinstance(task.input, base.Continuous)
        assert batch.inputs.shape == (len(index), steps, task.input.channels)
        assert batch.inputs.dtype == torch.float32
        assert batch.inputs.isfinite().all()
        assert steps == task.steps if split.lengths is None else steps == split.lengths[index].max() <= task.steps
        if batch.mask is not None:
            assert batch.mask.shape == batch.inputs.shape[:2]
            assert batch.mask.dtype == torch.bool
        reads = steps if task.reads is None else task.reads
        outputs = torch.randn(len(index), reads, task.outputs, requires_grad=True)
        loss = task.loss(outputs, batch)
        assert loss.shape == ()
        loss.backward()
        assert outputs.grad is not None
        assert outputs.grad.isfinite().all()
        totals = task.totals(outputs.detach(), batch)
        assert list(totals) == [metric.name for metric in task.metrics]
        assert all(math.isfinite(value) for value in scores(task, outputs.detach(), batch).values())
        moved = split.to(torch.device("cpu")).batch(index)
        assert torch.equal(moved.inputs, batch.inputs)
        assert torch.equal(moved.targets, batch.targets)


@pytest.mark.parametrize("make", TASKS)
def test_totals_add_up_over_batches(make: Callable[[], base.Task], miniature_data: Path) -> None:
    task = make()
    split = task.load(0).test
    assert task.metrics
    answer = torch.linspace(-1, 1, task.outputs)
    whole_batch = split.batch(torch.arange(len(split)))
    whole = task.totals(constant(answer, whole_batch, task), whole_batch)
    for metric in task.metrics:
        total, count = 0.0, 0.0
        for part in torch.arange(len(split)).split(3):
            batch = split.batch(part)
            added, number = task.totals(constant(answer, batch, task), batch)[metric.name]
            total, count = total + float(added), count + float(number)
        assert count == float(whole[metric.name][1])
        assert total == pytest.approx(float(whole[metric.name][0]), rel=1e-5)


@pytest.mark.parametrize("marks", ["anywhere", "halves"])
def test_adding_floor_is_the_error_of_the_best_constant(marks: Any) -> None:
    task = adding.Task(length=10, marks=marks, test=200_000)
    batch = task.load(0).test.batch(torch.arange(200_000))
    floor = task.metrics[0].floor
    assert scores(task, constant([1.0], batch, task), batch)["mse"] == pytest.approx(floor, rel=0.01)
    assert all(scores(task, constant([other], batch, task), batch)["mse"] > floor for other in (0.95, 1.05))
    assert task.loss(constant([1.0], batch, task), batch).item() == pytest.approx(floor, rel=0.01)
    exact = batch.targets.reshape(-1, 1, 1)
    assert scores(task, exact, batch)["mse"] == 0
    assert task.metrics[0].solved(9e-4)
    assert not task.metrics[0].solved(2e-3)


def test_copy_memory_floor_is_silence_and_then_a_guess() -> None:
    task = copy_memory.Task(delay=1000, test=300)
    batch = task.load(0).test.batch(torch.arange(300))
    outputs = torch.full((300, task.steps, 10), -100.0)
    outputs[:, :-10, 0] = 100
    outputs[:, -10:, 1:9] = 100
    found, (loss, recall) = scores(task, outputs, batch), task.metrics
    assert loss.floor == pytest.approx(0.02039, abs=1e-5)
    assert found["loss"] == pytest.approx(loss.floor, rel=1e-5)
    assert task.loss(outputs, batch).item() == pytest.approx(loss.floor, rel=1e-5)
    assert found["recall"] == pytest.approx(recall.floor, abs=0.02)
    exact = 200 * torch.nn.functional.one_hot(batch.targets, 10).float()
    assert scores(task, exact, batch) == {"loss": 0, "recall": 1}
    assert recall.solved(0.99)
    assert not recall.solved(0.98)
    for delay, published in ((200, 0.0945), (500, 0.0400), (2000, 0.01029)):
        assert copy_memory.Task(delay=delay).metrics[0].floor == pytest.approx(published, rel=1e-3)


def test_mnist_floors_are_those_of_the_test_labels() -> None:
    counts = torch.tensor(_mnist.TEST_COUNTS)
    labels = torch.arange(10).repeat_interleave(counts)
    batch = base.Batch(torch.zeros(10_000, 784, 1), labels)
    task = smnist.Task()
    accuracy, loss = task.metrics
    found = scores(task, constant((counts / 10_000).log(), batch, task), batch)
    assert found["accuracy"] == pytest.approx(accuracy.floor) == pytest.approx(11.35)
    assert found["loss"] == pytest.approx(loss.floor, rel=1e-6) == pytest.approx(2.3008, abs=1e-4)


def test_mnist_splits_are_disjoint_and_the_same_for_every_seed(miniature_data: Path) -> None:
    splits, again = smnist.Task().load(0), smnist.Task().load(1)
    assert [len(split) for split in splits] == [550, 50, 100]
    pictures = []
    for split, other in zip(splits, again, strict=True):
        assert isinstance(split, base.Examples)
        assert isinstance(other, base.Examples)
        assert all(torch.equal(a, b) for a, b in zip(split.columns, other.columns, strict=True))
        pictures.append({picture.numpy().tobytes() for picture in split.columns[0]})
    assert len(pictures[0] | pictures[1]) == 600
    images, labels = miniature.digits(600, seed=600)
    assert pictures[0] | pictures[1] == {image.tobytes() for image in images}
    few = smnist.Task(train=7).load(0)
    assert [len(split) for split in few] == [7, 50, 100]
    whole = splits.train.batch(torch.arange(7))
    assert torch.equal(few.train.batch(torch.arange(7)).inputs, whole.inputs)
    by_picture = {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    assert isinstance(splits.train, base.Examples)
    for picture, label in zip(*splits.train.columns, strict=True):
        assert by_picture[picture.numpy().tobytes()] == label


def test_mnist_views_and_permutations_show_the_same_pixels(miniature_data: Path) -> None:
    index = torch.tensor([3, 1])
    pixels = smnist.Task().load(0).test.batch(index).inputs
    images, _ = miniature.digits(100, seed=100)
    expected = (torch.from_numpy(images[[3, 1]]).float() / 255 - 0.1307) / 0.3081
    torch.testing.assert_close(pixels, expected.reshape(2, 784, 1))
    rows = smnist.Task(view="rows").load(0).test.batch(index).inputs
    assert torch.equal(rows, pixels.reshape(2, 28, 28))
    for task in (permuted_mnist.Task(), permuted_mnist.Task(permutation="bitrev")):
        assert sorted(task.order) == list(range(784))
        for split in task.load(0):
            assert split.batch(index).inputs.shape == (2, 784, 1)
        assert torch.equal(task.load(0).test.batch(index).inputs, pixels[:, task.order])


def test_idx_files_are_read_or_refused() -> None:
    images, labels = miniature.digits(5, seed=1)
    assert (_mnist.read_idx(miniature.idx(images), 3) == images).all()
    assert (_mnist.read_idx(miniature.idx(labels), 1) == labels).all()
    content = miniature.idx(images)
    for bad, message in (
        (content[:-1], r"an IDX file of shape \[5, 28, 28\] has 3919 bytes"),
        (content + b"\0", "has 3921 bytes"),
        (b"\0\0\x0d\x03" + content[4:], "not an IDX file of bytes in 3 dimensions: it begins with 00000d03"),
        (content[:9], "not an IDX file"),
        (b"", "not an IDX file"),
    ):
        with pytest.raises(DataError, match=message):
            _mnist.read_idx(bad, 3)


def rolls(*pieces: list[int]) -> _music.Rolls:
    """Pieces in which one key is down in each frame."""
    frames = torch.nn.functional.one_hot(torch.tensor([key for piece in pieces for key in piece]), 88).byte()
    return _music.Rolls(frames, torch.tensor([len(piece) for piece in pieces]))


def test_music_predicts_the_next_frame() -> None:
    split = rolls([1, 2, 3], [4, 5], [6, 7, 8, 9])
    assert len(split) == 3
    assert split.lengths.tolist() == [2, 1, 3]
    batch = split.batch(torch.tensor([2, 1]))
    assert batch.mask is not None
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert [frame.nonzero().flatten().tolist() for frame in batch.inputs[0]] == [[6], [7], [8]]
    assert [frame.nonzero().flatten().tolist() for frame in batch.targets[0]] == [[7], [8], [9]]
    assert [frame.nonzero().flatten().tolist() for frame in batch.inputs[1]] == [[4], [], []]
    assert [frame.nonzero().flatten().tolist() for frame in batch.targets[1]] == [[5], [], []]


@pytest.mark.parametrize("task_class", MUSIC)
def test_padding_does_not_change_music_totals(task_class: type[_music.Music], miniature_data: Path) -> None:
    task = task_class()
    split = task.load(0).test
    assert split.lengths is not None
    steps = int(split.lengths.max())
    outputs = torch.randn(len(split), steps, 88, generator=torch.Generator().manual_seed(0))
    together = split.batch(torch.arange(len(split)))
    total, count = task.totals(outputs, together)["nats"]
    alone = [split.batch(torch.tensor([piece])) for piece in range(len(split))]
    parts = [task.totals(outputs[[piece], : batch.inputs.shape[1]], batch)["nats"] for piece, batch in enumerate(alone)]
    assert int(count) == sum(int(number) for _, number in parts) == int(split.lengths.sum())
    assert float(total) == pytest.approx(sum(float(part) for part, _ in parts), rel=1e-5)
    disturbed = torch.where(together.mask.unsqueeze(2), outputs, 1e4)  # type: ignore[union-attr]
    assert torch.equal(task.totals(disturbed, together)["nats"][0], total)
    lone = alone[0]
    summed = torch.nn.functional.binary_cross_entropy_with_logits(
        outputs[[0], : lone.inputs.shape[1]], lone.targets, reduction="sum"
    )
    torch.testing.assert_close(task.loss(outputs[[0], : lone.inputs.shape[1]], lone), summed)
    torch.testing.assert_close(task.loss(outputs, together), total / len(split))


def test_yardsticks_on_pieces_that_can_be_counted_by_hand() -> None:
    train = rolls([0, 0, 1], [0, 1])  # key 0 is next in 1 of 3 frames, key 1 in 2, the other 86 in none
    test = rolls([0, 1])
    expected = -(math.log(1 - 2 / 5) + math.log(3 / 5) + 86 * math.log(1 - 1 / 5))
    assert _music.marginal_yardstick(train, test) == pytest.approx(expected)
    # key 0 is down and stays in 1 of 3; key 1 is up and is struck in 2 of 3; the others stay up in 3 of 3
    expected = -(math.log(1 - 2 / 5) + math.log(3 / 5) + 86 * math.log(1 - 1 / 5))
    assert _music.markov_yardstick(train, test) == pytest.approx(expected)
    test = rolls([1, 1])  # never seen: key 1 held, so one half by Laplace's rule; key 0 up, never seen either
    expected = -(math.log(1 / 2) + math.log(1 / 2) + 86 * math.log(4 / 5))
    assert _music.markov_yardstick(train, test) == pytest.approx(expected)


def test_music_files_of_another_kind_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_music, "fetch", lambda remote: tmp_path / remote.filename)
    (tmp_path / "text.mat").write_text("no MATLAB file, but longer than a header is. " * 10)
    savemat(tmp_path / "other.mat", {"something": [1, 2]})
    content = {f"{part}data": [[[[0] * 87] * 3]] for part in ("train", "valid", "test")}
    savemat(tmp_path / "narrow.mat", content)
    for name in ("text", "other", "narrow"):
        with pytest.raises(DataError, match=rf"{name}\.mat (is not a file of piano rolls|has a piece of shape)"):
            _music.read_rolls(Remote(f"{name}.mat", ""))
    with pytest.raises(DataError, match="needs two frames"):
        rolls([1, 2], [3])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: adding.Task(length=1), "adding: length must be 2 or more, got 1"),
        (lambda: adding.Task(train=0), "adding: train must be 1 or more, got 0"),
        (lambda: adding.Task(marks="half"), "adding: marks must be 'anywhere' or 'halves', got 'half'"),  # type: ignore[arg-type]
        (lambda: adding.Task().at_length(-3), "adding: length must be 2 or more, got -3"),
        (lambda: copy_memory.Task(delay=0), "copy-memory: delay must be 1 or more, got 0"),
        (lambda: copy_memory.Task(coding="x"), "copy-memory: coding must be 'scalar' or 'one-hot', got 'x'"),  # type: ignore[arg-type]
        (lambda: copy_memory.Task(test=-1), "copy-memory: test must be 1 or more, got -1"),
        (lambda: smnist.Task(view="row"), "sequential-mnist: view must be 'pixels' or 'rows', got 'row'"),  # type: ignore[arg-type]
        (lambda: smnist.Task(train=55_001), "sequential-mnist: train must be from 1 to 55000, got 55001"),
        (
            lambda: permuted_mnist.Task(permutation="random"),  # type: ignore[arg-type]
            "permuted-mnist: permutation must be 'rs92916' or 'bitrev', got 'random'",
        ),
        (lambda: smnist.Task(side=7), "sequential-mnist: side must be 28 or 14, got 7"),  # type: ignore[arg-type]
        (lambda: permuted_mnist.Task(side=27), "permuted-mnist: side must be 28 or 14, got 27"),  # type: ignore[arg-type]
        (lambda: permuted_mnist.Task(train=0), "permuted-mnist: train must be from 1 to 55000, got 0"),
        (lambda: jsb.Task().at_length(10), "jsb: the length is given by the data"),
        (lambda: smnist.Task().at_length(10), "sequential_mnist: the length is given by the data"),
    ],
)
def test_bad_options_are_refused_in_words(make: Callable[[], base.Task], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()


def test_other_lengths() -> None:
    assert adding.Task(marks="halves").at_length(30) == adding.Task(length=30, marks="halves")
    assert copy_memory.Task(coding="one-hot").at_length(30) == copy_memory.Task(delay=30, coding="one-hot")
    assert copy_memory.Task().at_length(30).steps == 50


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_documentation(name: str) -> None:
    module = importlib.import_module(f"seqbench.tasks.{name}")
    assert doctest.testmod(module).failed == 0
    if hasattr(module, "Task") and name != "base":
        assert ">>>" in module.Task.__doc__, "a task's documentation has a worked example"


def test_miniatures_are_the_same_in_another_process(miniature_data: Path) -> None:
    code = (
        f"import sys, pathlib; sys.path.insert(0, {str(Path(miniature.__file__).parent)!r}); import miniature\n"
        f"miniature.install(pathlib.Path({str(miniature_data)!r}))\n"
        "for task in miniature.TASKS: print([remote.sha256 for remote in task.remotes], "
        "len(task(**task.test_parameters).load(0).train))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SEQBENCH_")}
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    here = [
        f"{[r.sha256 for r in task.remotes]} {len(task(**task.test_parameters).load(0).train)}"
        for task in miniature.TASKS
    ]
    assert printed.stdout.splitlines() == here
