"""MNIST as a sequence: the files, the split and the judgement that sequential and permuted MNIST share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from . import _random, base
from .datasets import DataError, Remote, read

SIDE = 28  # pixels a row, and rows
CLASSES = 10
TRAIN, VALID, TEST = 55_000, 5_000, 10_000
SCALES = {28: (0.1307, 0.3081), 14: (0.1307, 0.2801)}
"""Side of the images -> mean and deviation of the training pixels in [0, 1]; of 28 as published code has them."""

TEST_COUNTS = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
"""Test images of each digit, from which the floors follow."""


def _remote(name: str, sha256: str) -> Remote:
    homes = ("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist")
    return Remote(f"mnist/{name}.gz", sha256, tuple(f"{home}/{name}.gz" for home in homes))


REMOTES = (
    _remote("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    _remote("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    _remote("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    _remote("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
)


def read_idx(content: bytes, dimensions: int) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes (LeCun's format), which must have that many dimensions.

    Raises DataError where the header says something else, or the bytes are not as many as it says.

    >>> read_idx(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]), dimensions=2).tolist()
    [[7, 8, 9]]
    """
    begin = 4 + 4 * dimensions
    if len(content) < begin or content[:4] != bytes([0, 0, 8, dimensions]):
        raise DataError(f"not an IDX file of bytes in {dimensions} dimensions: it begins with {content[:4].hex()}")
    shape = np.frombuffer(content, ">u4", dimensions, offset=4).tolist()
    if len(content) - begin != math.prod(shape):
        raise DataError(f"an IDX file of shape {shape} has {len(content) - begin} bytes of data")
    return np.frombuffer(content, np.uint8, offset=begin).reshape(shape)


def require_side(task: str, side: int) -> None:
    """Raises ValueError unless images of this side can be had."""
    if side not in SCALES:
        raise ValueError(f"{task}: side must be {' or '.join(map(str, SCALES))}, got {side}")


class Mnist(base.Task):
    """What both tasks share; `present` is given the pixels in the order in which they are to be read."""

    side: int  # options of each task
    train: int

    @property
    def pixels(self) -> int:
        """How many pixels an image has."""
        return self.side * self.side

    @property
    def outputs(self) -> int:
        return CLASSES

    @property
    def reads(self) -> int:
        return 1

    @property
    def metrics(self) -> tuple[base.Metric, ...]:
        shares = [count / TEST for count in TEST_COUNTS]
        entropy = -sum(share * math.log(share) for share in shares)
        return (
            base.Metric("accuracy", "%", "higher", floor=100 * max(shares), kind="share"),
            # It nears 0 as accuracy nears 100 %: there two machines differ by factors, as of an error.
            base.Metric("loss", "nats", "lower", floor=entropy, kind="likelihood", tolerance=0.75),
        )

    def _load(self, order: Sequence[int] | None, step: int) -> base.Splits:
        """The splits with the pixels of each image in `order`, shown in steps of `step` pixels.

        Training and validation examples are parts of one fixed shuffle of the training file: its first twelfth (5,000
        of 60,000) is the validation part and the next `train` are the training part, for every seed.
        """

        mean, deviation = SCALES[self.side]
        pooled = SIDE // self.side
        white = 255 * pooled**2

        def present(pixels: Tensor, labels: Tensor) -> base.Batch:
            inputs = pixels.float().div_(white).sub_(mean).div_(deviation)  # (B, pixels), in place: one buffer for all
            return base.Batch(inputs.unflatten(1, (-1, step)), labels.long())

        def images(pixels: Remote, labels: Remote) -> tuple[NDArray[Any], NDArray[np.uint8]]:
            read_pixels, read_labels = read_idx(read(pixels), 3), read_idx(read(labels), 1)
            if read_pixels.shape != (len(read_labels), SIDE, SIDE):
                raise DataError(f"{pixels.filename} and {labels.filename} do not belong together")
            if pooled > 1:  # the sum of each square, which `present` divides by the white of a whole square
                squares = read_pixels.reshape(-1, self.side, pooled, self.side, pooled)
                read_pixels = squares.sum((2, 4), dtype=np.int16)
            flat = read_pixels.reshape(-1, self.pixels)
            # take, because flat[:, order] is slower and leaves the pixels of an image far apart in memory
            return flat if order is None else np.take(flat, order, axis=1), read_labels

        pixels, labels = images(*self.remotes[:2])
        shuffle = _random.permutation(_random.stream("mnist/valid"), len(labels))
        held_out = len(labels) // 12
        train, valid = shuffle[held_out : held_out + self.train], shuffle[:held_out]

        def split(pixels: NDArray[Any], labels: NDArray[np.uint8]) -> base.Split:
            # rows that were picked are a copy already; those of a file must not be written to, of which torch warns
            columns = (column if column.flags.writeable else column.copy() for column in (pixels, labels))
            return base.Examples(*map(torch.from_numpy, columns), present=present)

        return base.Splits(
            split(pixels[train], labels[train]), split(pixels[valid], labels[valid]), split(*images(*self.remotes[2:]))
        )

    def loss(self, outputs: Tensor, batch: base.Batch) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, 1), batch.targets)  # (B, 1, 10) -> (B, 10)

    def totals(self, outputs: Tensor, batch: base.Batch) -> base.Totals:
        logits = outputs.flatten(0, 1)
        right = (logits.argmax(1) == batch.targets).sum()
        loss = F.cross_entropy(logits, batch.targets, reduction="sum")
        return {"accuracy": (100 * right, len(batch.targets)), "loss": (loss, len(batch.targets))}
