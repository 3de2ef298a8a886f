"""MuseData: predict the next chord of orchestral and piano classics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from . import _music
from .datasets import Remote


@dataclass(frozen=True)
class Task(_music.Music):
    """Predict the next frame of orchestral and piano classics.

    The MuseData library in the form and split of Boulanger-Lewandowski, Bengio & Vincent 2012, "Modeling temporal
    dependencies in high-dimensional sequences"; not in the table of Bai, Kolter & Koltun 2018, but among their files.

    Shapes: inputs and targets (B, T, 88) float32, 1 where a key is down: frames 0…L-2 of a piece of L frames, and
    frames 1…L-1; mask (B, T); the head gives 88 logits at every step, (B, T, 88). The loss is the binary
    cross-entropy summed over keys and frames, a mean over the pieces of a batch; the metric is nats a frame, pooled
    over all frames of a split. The first frame of a piece is not scored.

    Floor: 11.51 nats a frame, what the training set's share of each key, without any memory, costs on the test set.
    Knowing also whether the key is down now costs 8.56 (`_music.marginal_yardstick`, `_music.markov_yardstick`);
    one half for every key costs 88 ln 2 = 61.0.

    524 training, 135 validation and 124 test pieces of 9 to 4,273 frames, 245,202 / 82,755 / 64,339 in all.

    >>> import torch
    >>> task = Task()
    >>> task.steps, task.input.channels, task.outputs
    (4272, 88, 88)
    >>> frames = torch.zeros(6, 88, dtype=torch.uint8)
    >>> frames[:, 39] = 1  # middle C, held
    >>> batch = _music.Rolls(frames, frames_of=torch.tensor([4, 2])).batch(torch.tensor([0, 1]))
    >>> batch.inputs.shape, batch.mask.tolist()
    (torch.Size([2, 3, 88]), [[True, True, True], [True, False, False]])
    >>> total, scored = task.totals(torch.zeros(2, 3, 88), batch)["nats"]
    >>> round((total / scored).item(), 1)
    61.0
    """

    version: ClassVar[int] = 1
    source: ClassVar[str] = "Boulanger-Lewandowski, Bengio & Vincent 2012"
    published_validation: ClassVar[bool] = True
    remotes: ClassVar[tuple[Remote, ...]] = (
        _music.remote("MuseData", "e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff"),
    )
    longest: ClassVar[int] = 4273
    marginal: ClassVar[float] = 11.5143
    markov: ClassVar[float] = 8.5592
