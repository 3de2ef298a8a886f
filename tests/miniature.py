"""Miniatures of the real data in the real formats, so that every task can be loaded without the true files.

The content is the same whenever and wherever it is written. In another process, `install` again with the same folder.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import miniature_texts
import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat
from seqbench.tasks import (
    base,
    jsb,
    lambada,
    masked_word,
    mr,
    muse,
    nottingham,
    permuted_mnist,
    piano,
    ptb_char,
    ptb_word,
    sequential_mnist,
    sst2,
    text8,
    wikitext_103,
)

MUSIC: tuple[type[base.Task], ...] = (jsb.Task, nottingham.Task, muse.Task, piano.Task)
TEXTS: tuple[type[base.Task], ...] = (ptb_word.Task, ptb_char.Task, wikitext_103.Task, text8.Task, lambada.Task)
SENTENCES: tuple[type[base.Task], ...] = (sst2.Task, mr.Task)
TASKS = (*MUSIC, sequential_mnist.Task, permuted_mnist.Task, *TEXTS, masked_word.Task, *SENTENCES)
MNIST_COUNTS = {"train": 600, "t10k": 100}
MUSIC_COUNTS = {"traindata": 12, "validdata": 4, "testdata": 4}


class Patch(Protocol):
    """The part of `pytest.MonkeyPatch` that is used."""

    def setattr(self, target: object, name: str, value: object, /) -> None: ...
    def setenv(self, name: str, value: str, /) -> None: ...


class _ForEver:
    """Patches without an end, for a process of its own."""

    def setattr(self, target: object, name: str, value: object, /) -> None:
        setattr(target, name, value)

    def setenv(self, name: str, value: str, /) -> None:
        os.environ[name] = value


def install(folder: Path, monkeypatch: Patch | None = None) -> None:
    """Writes the miniature files under `folder`/mirror, and lets every task of real data load them from there.

    The tasks' `remotes` get the sums of the miniatures and no public home, and their constants that count what is in
    the true files get what is in these; SEQBENCH_MIRROR and SEQBENCH_DATA are set
    to `folder`/mirror and `folder`/cache. With a monkeypatch this lasts as long as the test, else as the process.
    """
    patch: Patch = monkeypatch if monkeypatch is not None else _ForEver()
    sums = {}
    for filename, content in files().items():
        path = folder / "mirror" / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != content:
            unfinished = path.with_name(f"{path.name}.{os.getpid()}")
            unfinished.write_bytes(content)
            unfinished.replace(path)
        of_container = filename.endswith(".gz") and not filename.endswith(".tar.gz")  # else the sum is the file's own
        payload = gzip.decompress(content) if of_container else content
        sums[filename] = hashlib.sha256(payload).hexdigest()
    for task in TASKS:
        remotes = tuple(replace(remote, sha256=sums[remote.filename], urls=(), size=None) for remote in task.remotes)
        patch.setattr(task, "remotes", remotes)
    for task in TEXTS:
        for name, value in miniature_texts.sizes()[task.__module__.rpartition(".")[2]].items():
            patch.setattr(task, name, value)
    patch.setenv("SEQBENCH_MIRROR", str(folder / "mirror"))
    patch.setenv("SEQBENCH_DATA", str(folder / "cache"))


def offer(
    folder: Path, monkeypatch: Patch, task: type[base.Task], contents: Mapping[str, bytes], **constants: int
) -> None:
    """Lets one task read other content in place of its files, by filename, from `folder`/mirror with a new cache.

    constants: those of its class that count what is in the files.
    """
    remotes = []
    for remote in task.remotes:
        path = folder / "mirror" / remote.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[remote.filename])
        remotes.append(
            replace(remote, sha256=hashlib.sha256(contents[remote.filename]).hexdigest(), urls=(), size=None)
        )
    monkeypatch.setattr(task, "remotes", tuple(remotes))
    for name, value in constants.items():
        monkeypatch.setattr(task, name, value)
    monkeypatch.setenv("SEQBENCH_MIRROR", str(folder / "mirror"))
    monkeypatch.setenv("SEQBENCH_DATA", str(folder / "cache"))


@lru_cache
def files() -> Mapping[str, bytes]:
    """Name in the mirror -> content of every miniature file."""
    contents = {}
    for part, count in MNIST_COUNTS.items():
        images, labels = digits(count, seed=count)
        contents[f"mnist/{part}-images-idx3-ubyte.gz"] = gzip.compress(idx(images), mtime=0)
        contents[f"mnist/{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx(labels), mtime=0)
    for number, name in enumerate(("JSB_Chorales", "Nottingham", "MuseData", "Piano_midi")):
        contents[f"music/{name}.mat"] = mat(number)
    return contents | miniature_texts.files() | miniature_texts.reviews()


def digits(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (N, 28, 28) that show their label (N,) as the place of a bright band, under some noise."""
    random = np.random.RandomState(seed)
    labels = random.permutation(np.arange(count) % 10).astype(np.uint8)
    images = random.randint(0, 64, (count, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 + 2 * label : 6 + 2 * label, 4:24] = 255
    return images, labels


def idx(array: NDArray[np.uint8]) -> bytes:
    """An IDX file of unsigned bytes."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def mat(seed: int) -> bytes:
    """A .mat file of 12 + 4 + 4 pieces of 5 to 20 frames, in which a chord of three keys goes up or down a step."""
    random = np.random.RandomState(seed)
    content: dict[str, Any] = {}
    for name, count in MUSIC_COUNTS.items():
        content[name] = np.empty((1, count), dtype=object)
        for piece in range(count):
            frames = int(random.randint(5, 21))
            roots = 40 + np.cumsum(random.randint(-1, 2, frames))
            roll = np.zeros((frames, 88), np.uint8)
            roll[np.arange(frames)[:, None], roots[:, None] + np.array([0, 4, 7])] = 1
            content[name][0, piece] = roll
    file = io.BytesIO()
    savemat(file, content)  # type: ignore[arg-type]  # its stubs know of paths only
    written = file.getvalue()
    return b"MATLAB 5.0 MAT-file".ljust(116) + written[116:]  # without the date that savemat writes there
