"""Nottingham: predict the next chord of British and American folk tunes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from . import _music
from .datasets import Remote


@dataclass(frozen=True)
class Task(_music.Music):
    """Predict the next frame of a folk tune with chords.

    The Nottingham collection in the form and split of Boulanger-Lewandowski, Bengio & Vincent 2012, "Modeling
    temporal dependencies in high-dimensional sequences".

    Shapes: inputs and targets (B, T, 88) float32, 1 where a key is down: frames 0…L-2 of a piece of L frames, and
    frames 1…L-1; mask (B, T); the head gives 88 logits at every step, (B, T, 88). The loss is the binary
    cross-entropy summed over keys and frames, a mean over the pieces of a batch; the metric is nats a frame, pooled
    over all frames of a split. The first frame of a piece is not scored.

    Floor: 10.26 nats a frame, what the training set's share of each key, without any memory, costs on the test set.
    Knowing also whether the key is down now costs 5.15 (`_music.marginal_yardstick`, `_music.markov_yardstick`);
    one half for every key costs 88 ln 2 = 61.0.

    694 training, 173 validation and 170 test pieces of 40 to 1,793 frames, 176,561 / 45,513 / 44,463 in all; 3.96 keys
    a frame.

    >>> import torch
    >>> task = Task()
    >>> task.steps, task.input.channels, task.outputs
    (1792, 88, 88)
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
        _music.remote("Nottingham", "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea"),
    )
    longest: ClassVar[int] = 1793
    marginal: ClassVar[float] = 10.2607
    markov: ClassVar[float] = 5.1532
