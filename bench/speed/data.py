"""From what is kept to what a network sees: gathering batches, normalising images, cutting windows; loading."""

from __future__ import annotations

import torch

from .history import needs_files, one_thread

TASKS = {
    "adding": ("adding(length=600, train=2000, valid=2, test=2)", 32),
    "copy-memory": ("copy-memory(delay=1000, train=2000, valid=2, test=2)", 32),
    "sequential-mnist": ("sequential-mnist(train=2000)", 64),
    "permuted-mnist": ("permuted-mnist(train=2000)", 64),
    "jsb": ("jsb", 16),
    "ptb-word": ("ptb-word", 16),
}
"""Name -> task, batch."""


class Batches:
    """One batch of each task, from its index to the tensors that a step is given."""

    version = "1"
    params = (tuple(TASKS),)
    param_names = ("task",)
    rounds, repeat, timeout = 1, (3, 10, 1.0), 60

    def setup(self, task: str) -> None:
        self.split = _load(task).train.in_streams(TASKS[task][1])
        self.index = torch.arange(TASKS[task][1])
        self.split.batch(self.index)

    def time_batch(self, task: str) -> None:
        self.split.batch(self.index)


class Loading:
    """All splits of a task, from its generator or from files that were fetched and encoded before."""

    version = "1"
    params = (tuple(TASKS),)
    param_names = ("task",)
    number, rounds, repeat, warmup_time, timeout = 1, 1, (2, 5, 1.0), 0.0, 120

    def setup(self, task: str) -> None:
        _load(task)  # compiles, fetches, encodes

    def time_load(self, task: str) -> None:
        _load(task)


def _load(task: str):  # type: ignore[no-untyped-def]  # the contract of tasks is not there to be imported in every commit
    needs_files("sequential-mnist" if "mnist" in task else task)
    one_thread()
    try:
        from seqbench.bench.api import make_task
        from seqbench.bench.errors import UsageError
    except ImportError as error:
        raise NotImplementedError(str(error)) from error
    try:
        made = make_task(TASKS[task][0])
    except UsageError as error:  # an older commit, which has no such task or option
        raise NotImplementedError(str(error)) from error
    splits = made.load(0)
    if not hasattr(splits.train, "in_streams"):
        raise NotImplementedError("splits have no streams yet")
    return splits
