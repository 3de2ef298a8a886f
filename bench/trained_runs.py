"""What a run has learned: its network with the trained parameters, and what that answers on the test part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..models.network import Network
from ..tasks.base import Split, Task
from ..tasks.datasets import DataError
from .engine.checkpoint import Checkpoint
from .engine.evaluation import EVALUATION_STEPS
from .engine.outcome import Progress
from .engine.steps import answer
from .engine.training import train
from .errors import UsageError
from .experiments import config, naming
from .experiments.config import Experiment
from .experiments.places import experiment_folder
from .experiments.runs import Run
from .rows import sources
from .rows.newest import latest
from .rows.store import Row, Workplace

DEVICES = ("cpu", "cuda")
Part = Literal["train", "valid", "test"]


def trained(experiment: Experiment, run: Run) -> Network:
    """The network with what it has learned, in evaluation mode on the CPU: from a run that is done, or a checkpoint.

    Raises UsageError where neither is there: rows that come from elsewhere bring no parameters.
    """
    workplace = Workplace(experiment.folder)
    places = [(workplace.trained(run.id, device), "") for device in DEVICES]
    places += [(workplace.checkpoint(run.id, device), sources.source_hash(run)) for device in DEVICES]
    for path, stamp in places:
        saved = Checkpoint(path, stamp).load(torch.device("cpu"))
        if saved is not None:
            network = run.make_network(run.make_task())
            try:
                network.load_state_dict(saved.get("best") or saved["network"])
            except RuntimeError as error:
                raise UsageError(f"{path} does not fit {run}: {error}; train it again with --afresh") from error
            return network.eval()
    raise UsageError(
        f"{run.id} {run}: what it has learned is not here (rows keep scores, not parameters): "
        f"seqbench run {experiment.folder} --only {run.id} --afresh --keep-weights trains it"
    )


def trained_or_again(experiment: Experiment, run: Run, report: Callable[[Progress, int], None]) -> Network:
    """As `trained`; where no parameters are here the run is trained again from its row, and they are kept.

    report: called now and then with the progress and the number of steps in all. Raises UsageError where a file of the
    task cannot be had, and where the training diverges.
    """
    try:
        return trained(experiment, run)
    except UsageError:
        if any(Workplace(experiment.folder).trained(run.id, device).is_file() for device in DEVICES):
            raise  # they are here, and do not fit
    workplace = Workplace(experiment.folder)
    try:
        outcome = train(run, report=report)
    except DataError as error:
        raise UsageError(str(error)) from error
    if outcome.status != "done":
        raise UsageError(f"{run.id} {run}: its training {outcome.status}, so there is nothing that it has learned")
    with Checkpoint(workplace.trained(run.id, DEVICES[0])) as kept:
        kept.save({"network": outcome.network.state_dict()})
    return outcome.network.cpu().eval()


class Trained(Protocol):
    """What has a run and its trained network: an `Outcome` of `train`, or a `LoadedRun`."""

    @property
    def run(self) -> Run:
        """What was trained."""

    @property
    def network(self) -> Network:
        """With its trained parameters."""


@dataclass(frozen=True)
class LoadedRun:
    """A run of an experiment that was trained before.

    network: on the CPU, in evaluation mode, with the parameters of the epoch that is best on validation. row: its row,
    with scores and origin; None where it is still being trained.
    """

    run: Run
    network: Network
    row: Row | None

    @cached_property
    def task(self) -> Task:
        """The task that it was trained on."""
        return self.run.make_task()

    @property
    def scores(self) -> dict[str, Any]:
        """As its row has them: `best` and `last`, see `engine.evaluation.select`."""
        return dict((self.row or {}).get("scores", {}))


def load_run(folder: str | Path, run: str) -> LoadedRun:
    """The run of an experiment that a text means, with what it has learned.

    run: the beginning of its id, or words of its label in their order, such as "lstm seed 0". Raises errors.UsageError
    where the text means no run or several, and where its parameters are not here: `seqbench run --keep-weights` keeps
    those of any task, of a text they are always kept.
    """
    experiment = config.load(experiment_folder(folder))
    named = [(one.id, str(one)) for one in experiment.runs]
    found = [one for one in experiment.runs if naming.means(run, one.id, str(one))]
    if len({one.id for one in found}) != 1:
        there = naming.listed([(one.id, str(one)) for one in found] or named)
        raise UsageError(f"{run!r} means {'several runs' if found else 'no run'} of {experiment.name}: {there}")
    network = trained(experiment, found[0])
    rows = latest(Workplace(experiment.folder).rows())
    row = next((rows[found[0].id, device] for device in DEVICES if (found[0].id, device) in rows), None)
    return LoadedRun(found[0], network, row)


@dataclass(frozen=True)
class Predictions:
    """What a network answers on N examples at the R steps that are read, on the CPU.

    answers: the head's numbers (N, R, O); of a text the most probable symbol (N, R). targets: as the task has them.
    scored: (N, R) bool, false where an answer does not count. surprisals: of a text -ln P(target) in nats, (N, R), else
    None. Where examples differ in length R is the longest, answers behind an end are 0, and `scored` is false there.
    """

    answers: Tensor
    targets: Tensor
    scored: Tensor
    surprisals: Tensor | None = None

    def frame(self) -> pd.DataFrame:
        """One line for each answer that counts: `example`, `step` among those that are read, `target`, `answer`.

        Where the head gives several numbers, or the target has several, each has its column: `answer_0`, …
        """
        example, step = (part.numpy() for part in self.scored.nonzero(as_tuple=True))
        columns: dict[str, Any] = {"example": example, "step": step}
        columns |= _columns("target", self._at(self.targets))
        columns |= _columns("answer", self._at(self.answers))
        if self.surprisals is not None:
            columns["surprisal"] = self.surprisals[self.scored].numpy()
        return pd.DataFrame(columns)

    def _at(self, values: Tensor) -> Tensor:
        """Values at the answers that count, (lines, …); one target an example stands for all of its answers."""
        if values.shape[:2] != self.scored.shape:
            values = values.reshape(len(values), 1, *values.shape[1:]).expand(
                -1, self.scored.shape[1], *values.shape[1:]
            )
        return values[self.scored]


def predictions(trained_run: Trained, part: Part = "test") -> Predictions:
    """What a trained network answers on a part of its task, all examples of it.

    trained_run: what `train` or `load_run` gives. Raises `datasets.DataError` where a file of the task cannot be had.
    """
    run, network = trained_run.run, trained_run.network
    task, device = run.make_task(), next(network.parameters()).device
    split = getattr(task.load(run.seed), part)
    if part == "train":
        split = split.in_streams(run.training.batch)
    return answers_of(network, task, split.to(device))


def answers_of(network: Network, task: Task, split: Split) -> Predictions:
    """What a network answers on a split that lies on its device, in evaluation mode and in the order of the split."""
    size = split.streams or max(1, min(1000, EVALUATION_STEPS // task.steps))
    pieces: list[list[Tensor | None]] = []
    training, state = network.training, None
    network.eval()
    with torch.no_grad():
        for index in torch.arange(len(split)).split(size):
            batch = split.batch(index)
            outputs, state = answer(network, split, batch, state)
            if task.distribution:
                said, surprisals = outputs.most_probable(), outputs.surprisal(batch.targets)
            else:
                said, surprisals = outputs, None
            scored = torch.ones(said.shape[:2], dtype=torch.bool) if batch.mask is None else batch.mask
            pieces.append(
                [part.cpu() if part is not None else None for part in (said, batch.targets, scored, surprisals)]
            )
    network.train(training)
    joined = [_joined(list(parts)) for parts in zip(*pieces, strict=True)]
    answers, targets, counting = (part for part in joined[:3] if part is not None)
    return Predictions(answers, targets, counting, joined[3])


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    """Tensors (B, R, …) as one (N, R, …), the shorter ones followed by zeros."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    longest = max((part.shape[1] for part in known if part.ndim > 1), default=0)
    return torch.cat([_lengthened(part, longest) if part.ndim > 1 else part for part in known])


def _lengthened(part: Tensor, steps: int) -> Tensor:
    return torch.cat([part, part.new_zeros(len(part), steps - part.shape[1], *part.shape[2:])], 1)


def _columns(name: str, values: Tensor) -> dict[str, Any]:
    """A column, or one for each of several numbers, of values (lines,) or (lines, O)."""
    table = np.asarray(values).reshape(len(values), -1)
    if table.shape[1] == 1:
        return {name: table[:, 0]}
    return {f"{name}_{place}": table[:, place] for place in range(table.shape[1])}
