"""Piano-midi.de: predict the next chord of classical piano pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from . import _music
from .datasets import Remote


@dataclass(frozen=True)
class Task(_music.Music):
    """Predict the next frame of a classical piano piece.

    Poliner & Ellis 2007 in the form and split of Boulanger-Lewandowski, Bengio & Vincent 2012, "Modeling temporal
    dependencies in high-dimensional sequences"; not in the table of Bai, Kolter & Koltun 2018, but among their files.

    Shapes: inputs and targets (B, T, 88) float32, 1 where a key is down: frames 0…L-2 of a piece of L frames, and
    frames 1…L-1; mask (B, T); the head gives 88 logits at every step, (B, T, 88). The loss is the binary
    cross-entropy summed over keys and frames, a mean over the pieces of a batch; the metric is nats a frame, pooled
    over all frames of a split. The first frame of a piece is not scored.

    Floor: 11.05 nats a frame, what the training set's share of each key, without any memory, costs on the test set.
    Knowing also whether the key is down now costs 8.26 (`_music.marginal_yardstick`, `_music.markov_yardstick`);
    one half for every key costs 88 ln 2 = 61.0.

    87 training, 12 validation and 25 test pieces of 65 to 3,857 frames, 75,911 / 8,540 / 19,036 in all.

    >>> import torch
    >>> task = Task()
    >>> task.steps, task.input.channels, task.outputs
    (3856, 88, 88)
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
        _music.remote("Piano_midi", "990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34"),
    )
    longest: ClassVar[int] = 3857
    marginal: ClassVar[float] = 11.0518
    markov: ClassVar[float] = 8.2644
