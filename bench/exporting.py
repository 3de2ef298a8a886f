"""A task's data without the trainer, for people who bring their own loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from ..tasks.base import Continuous, Pair, Split, Splits, Task
from . import atomic
from .errors import UsageError
from .experiments import runs
from .experiments.notation import Spec


def export_task(spec: Spec, seed: int, out: Path) -> dict[str, tuple[int, ...]]:
    """Writes the three splits to an `.npz` file, atomically, and returns the shapes of its arrays by name.

    `train_x` (N, T, C) as a network sees it, `train_y` the targets; `train_mask` (N, T), true where the answer is
    scored, for tasks that are not read at the last step alone; so `valid_…` and `test_…`. Sequences of differing
    length are padded with zeros to the longest of the split.
    Of pairs: `train_source` (N, S) and `train_y` (N, T), the target with its end symbol, both padded with zeros;
    `train_x` (N, T) the target as a decoder is shown it, `train_mask` (N, T), false where it is padded, and `symbols`,
    what a source's ids stand for.
    Of a text: `train_ids` (N + 1,), the symbol that stands before it and its N tokens, so that inputs are all but the
    last and targets all but the first; and `symbols` (V,), what the ids stand for. Of passages: `test_x` (N, T) ids,
    `test_y` (N, R), `test_read` (N, R) the steps that are read, mask and `test_group` (N, R) as in `tasks.base.Batch`.
    Raises `datasets.DataError` where a file is missing, and UsageError where generated data would not fit into memory.
    """
    task = runs.make_task(spec)
    needed, free = _bytes_of(task), psutil.virtual_memory().available
    if needed > free:
        raise UsageError(f"{spec}: its data need {needed / 2**30:,.0f} GiB of memory, and {free / 2**30:,.0f} are free")
    arrays: dict[str, Any] = {}
    if (symbols := task.symbols()) is not None:
        arrays["symbols"] = np.array(symbols)
    for name, split in task.load(seed)._asdict().items():
        arrays |= {f"{name}_{part}": array for part, array in _arrays(task, split).items()}
    with atomic.replacing(out) as file:
        np.savez(file, **arrays)
    return {name: array.shape for name, array in arrays.items()}


def _bytes_of(task: Task) -> int:
    """Bytes of the inputs that a task generates, at least; 0 where it does not say how many examples it has."""
    counts = [task.options().get(name) for name in Splits._fields]
    examples = sum(count for count in counts if isinstance(count, int))
    channels = task.input.channels if isinstance(task.input, Continuous) else 1
    steps = 3 * task.steps if isinstance(task.input, Pair) else task.steps  # the target twice
    return examples * steps * channels * torch.float32.itemsize if task.length_option else 0


def _arrays(task: Task, split: Split) -> dict[str, NDArray[Any]]:
    if split.text is not None:
        return {"ids": split.text.numpy()}
    batch = split.batch(torch.arange(len(split)))
    arrays = {"x": batch.inputs.numpy(), "y": batch.targets.numpy()}
    if batch.source is not None:
        arrays["source"] = batch.source.numpy()
    if isinstance(batch.reads, torch.Tensor):
        more = {"read": batch.reads, "mask": batch.mask, "group": batch.group}
        arrays |= {name: part.numpy() for name, part in more.items() if part is not None}
    elif task.reads != 1:
        examples, steps = batch.inputs.shape[:2]
        scored = torch.ones((examples, steps), dtype=torch.bool)
        if task.reads is not None:
            scored[:, : -task.reads] = False
        arrays["mask"] = (scored if batch.mask is None else scored & batch.mask).numpy()
    return arrays
