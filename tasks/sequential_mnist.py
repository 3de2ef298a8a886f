"""Sequential MNIST: name a digit after its pixels have passed one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from . import _mnist, base
from ._options import require_choice, require_range
from .datasets import Remote


@dataclass(frozen=True)
class Task(_mnist.Mnist):
    """Name a handwritten digit whose 784 pixels are read one by one.

    Le, Jaitly & Hinton 2015, "A simple way to initialize recurrent networks of rectified linear units". The pixels
    of an MNIST image are read in rows from the top, each row from the left; after the last one the digit is named.

    Shapes: inputs (B, 784, 1) float32 (`view` "pixels"), or (B, 28, 28), a row a step ("rows", a much easier task);
    targets (B,) int64; the head gives 10 logits at the last step, (B, 1, 10). Pixels are scaled to [0, 1], then by
    mean 0.1307 and deviation 0.3081. `accuracy` is in per cent, `loss` the cross-entropy in nats.

    With `side` 14 an image is a quarter as long, for small machines: each pixel is the mean of 2 x 2. So inputs are
    (B, 196, 1) or (B, 14, 14), and their deviation is 0.2801. No published number is of this task.

    Floors: always naming the most frequent digit of the test set (1) is right for 11.35 % of it; giving each digit
    its share of the test set costs 2.3008 nats.

    55,000 training, 5,000 validation and 10,000 test images. The paper has no validation part; here it is held out of
    the training file by a fixed shuffle, the same for every seed. The option `train` keeps the first so many training
    images of that shuffle.

    >>> task = Task(view="rows")
    >>> task.steps, task.input.channels, task.outputs
    (28, 28, 10)
    >>> Task(side=14).steps
    196
    >>> task.metrics[0].name, round(task.metrics[0].floor, 2)
    ('accuracy', 11.35)
    """

    version: ClassVar[int] = 1
    variant: ClassVar[tuple[str, ...]] = ("view",)
    variants: ClassVar[tuple[str, ...]] = (
        "sequential-mnist(view=pixels)",
        "sequential-mnist(view=rows)",
        "sequential-mnist(view=pixels, side=14)",
    )
    source: ClassVar[str] = "Le, Jaitly & Hinton 2015"
    published_validation: ClassVar[bool] = False
    test_parameters: ClassVar[dict[str, Any]] = {"view": "rows", "train": 64}
    remotes: ClassVar[tuple[Remote, ...]] = _mnist.REMOTES

    view: Literal["pixels", "rows"] = "pixels"
    train: int = 55_000
    side: Literal[28, 14] = 28

    def __post_init__(self) -> None:
        require_choice("sequential-mnist", "view", self.view, ("pixels", "rows"))
        _mnist.require_side("sequential-mnist", self.side)
        require_range("sequential-mnist", "train", self.train, 1, _mnist.TRAIN)

    @property
    def input(self) -> base.Continuous:
        return base.Continuous(1 if self.view == "pixels" else self.side)

    @property
    def steps(self) -> int:
        return self.pixels // self.input.channels

    def load(self, seed: int) -> base.Splits:
        return self._load(order=None, step=self.input.channels)
