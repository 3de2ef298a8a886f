"""Permuted MNIST: name a digit after its pixels have passed one by one, in an order without sense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from . import _mnist, base
from ._options import require_choice, require_range
from .datasets import Remote


def rs92916(pixels: int = 784) -> list[int]:
    """`np.random.RandomState(92916).permutation(pixels)`; NumPy has frozen that stream.

    >>> rs92916()[:5]
    [319, 576, 323, 107, 355]
    """
    order: list[int] = np.random.RandomState(92916).permutation(pixels).tolist()
    return order


def bitrev(pixels: int = 784) -> list[int]:
    """The bit reversal of so many places: the bits of 0, …, 1023 (of fewer than 257 places, of 0, …, 255) are reversed
    within their 10 (8), and what is below the number of places is kept, in that order.

    >>> bitrev()[:8]  # 0, 512, 256, (768), 128, (640), …
    [0, 512, 256, 768, 128, 640, 384, 64]
    """
    bits = (pixels - 1).bit_length()
    reversed_bits = (int(f"{index:0{bits}b}"[::-1], 2) for index in range(1 << bits))
    return [index for index in reversed_bits if index < pixels]


_ORDERS = {"rs92916": rs92916, "bitrev": bitrev}


@dataclass(frozen=True)
class Task(_mnist.Mnist):
    """Name a handwritten digit whose 784 pixels are read in a fixed, shuffled order.

    Le, Jaitly & Hinton 2015, "A simple way to initialize recurrent networks of rectified linear units". As sequential
    MNIST, but step t shows pixel `order[t]` of the image, with one order for every image of train, valid and test and
    for every seed, so that neighbours in the image are far apart in time.

    The published code draws a new order in every run, which makes every run another task. Here `permutation` names
    it: "rs92916" is `np.random.RandomState(92916).permutation(784)`; "bitrev" is the bit reversal, which takes no
    random number: 784 is no power of two, so the bits of 0, …, 1023 are reversed within 10 and those results that are
    below 784 are kept in that order (0, 512, 256, 768, 128, 640, 384, 64, …).

    Shapes: inputs (B, 784, 1) float32; targets (B,) int64; the head gives 10 logits at the last step, (B, 1, 10).
    Pixels are scaled to [0, 1], then by mean 0.1307 and deviation 0.3081. `accuracy` is in per cent, `loss` the
    cross-entropy in nats.

    With `side` 14 an image is a quarter as long, for small machines: each pixel is the mean of 2 x 2, the deviation is
    0.2801, and the order is one of 196 places: "rs92916" draws a permutation of 196, "bitrev" reverses 8 bits. No
    published number is of this task.

    Floors, as of sequential MNIST: 11.35 % for always naming the most frequent digit, and 2.3008 nats for giving each
    its share. Split, and the option `train`: as there too, the same images.

    >>> task = Task(permutation="bitrev")
    >>> task.steps, task.order[:4]
    (784, [0, 512, 256, 768])
    >>> task = Task(permutation="bitrev", side=14)
    >>> task.steps, task.order[:4]
    (196, [0, 128, 64, 192])
    """

    version: ClassVar[int] = 1
    variant: ClassVar[tuple[str, ...]] = ("permutation",)
    variants: ClassVar[tuple[str, ...]] = (
        "permuted-mnist(permutation=rs92916)",
        "permuted-mnist(permutation=bitrev)",
        "permuted-mnist(permutation=rs92916, side=14)",
    )
    source: ClassVar[str] = "Le, Jaitly & Hinton 2015"
    published_validation: ClassVar[bool] = False
    test_parameters: ClassVar[dict[str, Any]] = {"train": 16}
    remotes: ClassVar[tuple[Remote, ...]] = _mnist.REMOTES

    permutation: Literal["rs92916", "bitrev"] = "rs92916"
    train: int = 55_000
    side: Literal[28, 14] = 28

    def __post_init__(self) -> None:
        require_choice("permuted-mnist", "permutation", self.permutation, ("rs92916", "bitrev"))
        _mnist.require_side("permuted-mnist", self.side)
        require_range("permuted-mnist", "train", self.train, 1, _mnist.TRAIN)

    @property
    def order(self) -> list[int]:
        """The pixel that each of the 784 (196) steps shows."""
        return _ORDERS[self.permutation](self.pixels)

    @property
    def input(self) -> base.Continuous:
        return base.Continuous(1)

    @property
    def steps(self) -> int:
        return self.pixels

    def load(self, seed: int) -> base.Splits:
        return self._load(self.order, step=1)
