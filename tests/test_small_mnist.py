"""MNIST in images of 14 x 14, for small machines."""

from __future__ import annotations

from pathlib import Path

import miniature
import torch
from seqbench.tasks import permuted_mnist
from seqbench.tasks import sequential_mnist as smnist


def test_small_mnist_is_the_mean_of_squares_with_an_order_of_its_own(miniature_data: Path) -> None:
    index = torch.tensor([3, 1])
    images, labels = miniature.digits(100, seed=100)
    squares = torch.from_numpy(images[[3, 1]]).float().unfold(1, 2, 2).unfold(2, 2, 2)  # (2, 14, 14, 2, 2)
    expected = ((squares.mean((3, 4)) / 255 - 0.1307) / 0.2801).reshape(2, 196, 1)
    pixels = smnist.Task(side=14).load(0).test.batch(index)
    torch.testing.assert_close(pixels.inputs, expected)
    assert pixels.targets.tolist() == labels[[3, 1]].tolist()
    rows = smnist.Task(view="rows", side=14)
    assert (rows.steps, rows.input.channels) == (14, 14)
    assert torch.equal(rows.load(0).test.batch(index).inputs, pixels.inputs.reshape(2, 14, 14))
    for task in (permuted_mnist.Task(side=14), permuted_mnist.Task(permutation="bitrev", side=14)):
        assert sorted(task.order) == list(range(196))
        for split, whole in zip(task.load(0), smnist.Task(side=14).load(0), strict=True):
            assert torch.equal(split.batch(index).inputs, whole.batch(index).inputs[:, task.order])
    assert permuted_mnist.Task(side=14).order[:5] == [152, 165, 171, 169, 69]
    assert permuted_mnist.Task(permutation="bitrev", side=14).order[:5] == [0, 128, 64, 192, 32]
