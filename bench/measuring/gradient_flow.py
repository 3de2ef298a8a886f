"""Gradient flow: how far back the loss of one step reaches, at initialisation and after a training.

For an example with inputs x_1 … x_T, of which step T is the last one that is scored, let L_T be the loss of step T
alone and s_t what the network remembers after step t: all tensors of the state that it is streamed with
(`models.base.State`), laid end to end. Measured is, for k = 1 … T-1,

    g_k = mean over the examples of ‖∂L_T / ∂s_{T-k}‖₂        s_{t+1} = step(s_t, x_{t+1}), the total derivative

For a plain recurrent network s_t is the hidden state h_t, and g_k is the norm of which Bengio, Simard & Frasconi (1994,
Learning long-term dependencies with gradient descent is difficult, IEEE Trans. Neural Networks 5, section 4) and
Pascanu, Mikolov & Bengio (2013, On the difficulty of training recurrent neural networks, ICML, eq. 5) show that it
shrinks or grows as a power of k. An LSTM's s_t is (h_t, c_t). A convolutional network's s_t are the past inputs of its
convolutions that later steps still see, so that the one definition holds for every model of the suite: g_k measures all
that flows over the cut between step T-k and the next; g_k = 0 exactly says that nothing does.

Streamed one step at a time, in evaluation mode (no dropout) and float64: norms fall below what float32 can hold.
Other steps' losses do not count: they would reach s_{T-k} from nearby. `measurements` is the file that keeps them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...models.base import UNKNOWN, Model, State
from ...models.network import Network
from ...tasks.base import Batch, Split, Task
from ...tasks.datasets import sums
from ..engine.lanes import HostLane, finished
from ..engine.outcome import Outcome, Stopped
from ..engine.repeatable import check_precision, repeatable
from ..engine.training import Loop
from ..errors import UsageError
from ..experiments.config import Cell, Experiment
from ..experiments.runs import Run
from ..rows import provenance, sources
from ..rows.measurements import Flow

EXAMPLES = 32
"""Examples of the test split that a norm is the mean of."""
STEPS = 1000
"""Steps of training after which a network is measured again."""
MOST_NUMBERS = 2**25
"""Numbers of state, over all steps, that are held at a time (a quarter of a gigabyte): sets how many examples."""


def gradient_norms(network: Network, task: Task, split: Split, examples: int = EXAMPLES) -> Tensor:
    """g_k for k = 1, 2, …: (K,) float64, the mean over the first `examples` of a split that lies on the CPU.

    K is what the shortest of the examples allows. The network is left as it is. Raises UsageError where no example
    is scored behind its first step, and where the model is not causal: then no state is all that a step knows.
    """
    if not network.body.causal:
        raise UsageError("gradient flow: the model sees later inputs, so there is no state through which all must come")
    network = copy.deepcopy(network).double().eval().requires_grad_(False)
    shown = [_in_float64(split.batch(torch.tensor([place]))) for place in range(min(examples, len(split)))]
    scored = [(batch, last) for batch in shown if (last := _last_scored(batch, network.reads)) > 0]
    if not scored:
        raise UsageError("gradient flow: no example is scored behind its first step, so nothing flows back")
    steps = max(batch.inputs.shape[1] for batch, _ in scored)
    state = network.body.state_size_after(steps)
    numbers = network.body.features if state == UNKNOWN else state
    size = max(1, MOST_NUMBERS // (steps * max(1, numbers)))
    groups = [scored[start : start + size] for start in range(0, len(scored), size)]
    norms = [norm for group in groups for norm in _norms_of(network, task, group)]
    return torch.stack([norm[: min(map(len, norms))] for norm in norms]).mean(0)


def _in_float64(batch: Batch) -> Batch:
    inputs, targets = (part.double() if part.is_floating_point() else part for part in (batch.inputs, batch.targets))
    return batch._replace(inputs=inputs, targets=targets)


def _last_scored(batch: Batch, reads: int | None) -> int:
    """The last step of a batch of one example that is scored, counted from 0; -1 where none is."""
    steps = torch.arange(batch.inputs.shape[1])
    chosen = reads if batch.reads is None else batch.reads
    if isinstance(chosen, Tensor):
        steps = chosen[0]
    elif chosen is not None:
        steps = steps[-chosen:]
    if batch.mask is not None:
        steps = steps[batch.mask[0]]
    return int(steps.max()) if len(steps) else -1


class _Given(nn.Module):
    """Stands for a body whose features are there already."""

    def forward(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        return features, state


def _norms_of(network: Network, task: Task, group: Sequence[tuple[Batch, int]]) -> Iterator[Tensor]:
    """For each example the norms for k = 1 … last, (last,); examples do not touch each other, so they go together."""
    inputs = nn.utils.rnn.pad_sequence([batch.inputs[0] for batch, _ in group], batch_first=True)  # (B, T, C) or (B, T)
    if network.embedding is not None:
        inputs = network.embedding(inputs)
    inputs = inputs.detach().requires_grad_()  # what a state keeps of the inputs belongs to it
    squares = inputs.new_zeros(inputs.shape[:2])  # (B, T): ‖∂L_T / ∂s_t‖²
    features, state = [], None
    for place, step in enumerate(inputs.split(1, dim=1)):
        feature, after = network.body(step, state)
        features.append(feature)
        state = _carried(after, partial(_add_square, squares, place), {})
    answer = Network(cast(Model, _Given()), network.head, network.reads)
    together = torch.cat(features, dim=1)  # (B, T, W)
    losses = []
    for place, (batch, last) in enumerate(group):
        own = together[place : place + 1, : batch.inputs.shape[1]]
        before, read, behind = own[:, :last].detach(), own[:, last : last + 1], own[:, last + 1 :].detach()
        outputs, _ = answer(torch.cat([before, read, behind], dim=1), None, batch.reads)
        losses.append(task.loss(outputs, batch))
    torch.stack(losses).sum().backward()
    for place, (_, last) in enumerate(group):
        yield squares[place, :last].flip(0).sqrt()


def _add_square(squares: Tensor, place: int, gradient: Tensor | None) -> None:
    if gradient is None:  # no gradient flows through this part of the state
        return
    squares[:, place] += gradient.detach().flatten(1).abs().square().sum(1)


def _carried(state: State, hook: Callable[[Tensor], object], known: dict[int, Tensor]) -> State:
    """The state as the next step is given it; `hook` hears ∂L/∂s of each of its tensors, of one that is twice once.

    Each tensor is another one of the same numbers, which the next step alone reads. What the model returned may have
    been read within its own step as well: a layer above reads S_t of the layer below before it makes its own state, so
    that its gradient would count ways that cross the cut in another part of the state. A tensor that depends on no
    input, or is cut off from them, is measured too. known: the tensors that were met, by id, and what stands for them.
    """
    if isinstance(state, dict):
        return {name: _carried(part, hook, known) for name, part in state.items()}
    if isinstance(state, list | tuple):
        return [_carried(part, hook, known) for part in state]
    if not isinstance(state, Tensor) or not (state.is_floating_point() or state.is_complex()):
        return state
    if id(state) not in known:
        whole = state if state.requires_grad else state.detach().requires_grad_()
        known[id(state)] = whole.view_as(whole)
        known[id(state)].register_hook(hook)
    return known[id(state)]


def trained(run: Run, steps: int = STEPS) -> tuple[Network, int]:
    """The network of a run after so many steps of its own training, and the number of steps.

    A run that ends before gives the parameters that are best on validation, as `train` does.
    """
    cpu = torch.device("cpu")
    check_precision(run, cpu)
    with repeatable(cpu), HostLane() as lane:
        loop = Loop(run, cpu, lane, should_stop=lambda: steps <= loop.progress.total_steps < loop.all_steps)
        try:
            outcome: Outcome = finished(loop.turns())
        except Stopped:
            network = run.make_network(run.make_task())
            network.load_state_dict(loop.network.state_dict())
            return network, steps
    return outcome.network, outcome.progress.total_steps


def cells_of(experiment: Experiment, task: str | None = None) -> list[Cell]:
    """The cells of the task whose label begins with `task`; of the experiment's first task where it is None.

    Without those of models that are not causal. Raises UsageError where none begins so, or several do, with what is
    there, for a task that shows pairs, and where no model is left.
    """
    labels = list(dict.fromkeys(cell.task for cell in experiment.cells))
    found = labels[:1] if task is None else [label for label in labels if label.startswith(task)]
    if task in labels:
        found = [task]
    if len(found) != 1:
        word = "several tasks begin" if found else "no task begins"
        raise UsageError(f"{experiment.name}: {word} with {task!r}: {', '.join(found or labels)}")
    cells = [cell for cell in experiment.cells if cell.task == found[0]]
    if any(cell.runs[0].model_class.pairs for cell in cells):
        raise UsageError(f"{found[0]}: gradients are measured in models of one sequence, and this task shows pairs")
    causal = [cell for cell in cells if cell.runs[0].model_class.causal is not False]
    if not causal:
        raise UsageError(f"{found[0]}: gradients are measured in causal models, and there is none")
    return causal


def measure(
    cells: Sequence[Cell], steps: int = STEPS, examples: int = EXAMPLES, report: Callable[[Flow], object] = print
) -> list[Flow]:
    """Measures the network of every run of these cells before and after a training; `report` hears of each."""
    flows = []
    for cell in cells:
        for run in cell.runs:
            task = run.make_task()
            split = task.load(run.seed).test
            network, after = run.make_network(task), 0
            for moment in ("initialisation", "trained"):
                if moment == "trained":
                    network, after = trained(run, steps)
                with repeatable(torch.device("cpu")):
                    norms = gradient_norms(network, task, split, examples).tolist()
                flows.append(Flow(run, cell.model, moment, after, norms))
                report(flows[-1])
    return flows


def origin_of(experiment: Experiment, cells: Sequence[Cell], started: datetime, examples: int) -> dict[str, Any]:
    """Where measurements come from, as `provenance` has it for a row: to be asked when they are done."""
    runs = [run for cell in cells for run in cell.runs]
    with repeatable(torch.device("cpu")):
        process = provenance.of_process(torch.device("cpu"))
    times = (started, datetime.now(UTC))
    begin, end = (time.isoformat(timespec="seconds") for time in times)
    return {
        "experiment": experiment.name,
        "task": cells[0].task,
        "split": "test",
        "examples": examples,
        "sources": {run.id: sources.source_hash(run) for run in runs},
        "provenance": {
            **provenance.of_sweep(experiment.folder, runs),
            **process,
            "data": sums(runs[0].task_class.remotes),
            "started": begin,
            "finished": end,
        },
    }
