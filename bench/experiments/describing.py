"""What can be said of a model on a task before anything is trained."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NamedTuple

from ...models.base import UNKNOWN, Unknown
from ...models.network import Network
from ...tasks.base import Continuous, Pair, Task, Tokens
from . import networks, runs, sizing
from .notation import Spec, parse


class Cost(NamedTuple):
    """What a network costs at each step, whatever the machine; UNKNOWN where the model does not say.

    state_size: numbers that it carries on after the last step. macs_per_step: multiply-adds of a forward pass that
    computes every step, those of the head (where it reads) shared among all steps.
    """

    state_size: int | Unknown
    macs_per_step: int | Unknown


def cost_of(run: runs.Run, task: Task) -> Cost:
    """The cost of a run's network on its task. It is built without its numbers, so this takes milliseconds."""
    network = networks.on_paper(task, run.model_class, run.model.options, run.head, run.embedding)
    macs = _macs_per_sequence(network, task)
    return Cost(network.body.state_size_after(task.steps), UNKNOWN if macs == UNKNOWN else round(macs / task.steps))


def _macs_per_sequence(network: Network, task: Task) -> int | Unknown:
    if network.body.macs_per_step == UNKNOWN:
        return UNKNOWN
    reads = task.steps if task.reads is None else task.reads
    return task.steps * network.body.macs_per_step + reads * network.head.macs_per_step


def facts_of(
    task_text: str,
    model_text: str,
    parameters: int | None,
    tolerance: float,
    head_text: str | None = None,
    embedding_text: str | None = None,
) -> dict[str, Any]:
    """The facts by name, in plain types. Raises UsageError for whatever is not known or does not fit the budget."""
    task_spec = parse(task_text)
    task = runs.make_task(task_spec)
    head, embedding = networks.head_for(task, head_text), networks.embedding_for(task, embedding_text)
    model_spec = sizing.sized(task, parse(model_text), parameters, tolerance, head, embedding)
    run = runs.Run(Spec(task_spec.name, task.options()), model_spec, head=head, embedding=embedding)
    network = networks.on_paper(task, run.model_class, model_spec.options, head, embedding)
    body, reads = network.body, task.steps if task.reads is None else task.reads
    return {
        "task": run.task_label,
        "task_options": task.options(),
        "task_source": task.source,
        "model": run.model_label,
        "model_options": dict(model_spec.options),
        "model_source": run.model_class.source,
        "head": str(head),
        **({"embedding": str(embedding)} if isinstance(task.input, Tokens) else {}),
        **({} if isinstance(task.input, Continuous) else asdict(task.input)),
        "parameters": network.parameter_count,
        "width": body.features,
        "receptive_field": body.receptive_field,
        "state_size": body.state_size_after(task.steps),
        "macs_per_step": body.macs_per_step,
        "head_macs_per_read": network.head.macs_per_step,
        "macs_per_sequence": _macs_per_sequence(network, task),
        "shapes": {
            **({"source": ["B", "S"]} if isinstance(task.input, Pair) else {}),
            "inputs": ["B", task.steps, *([task.input.channels] if isinstance(task.input, Continuous) else [])],
            "features": ["B", task.steps, body.features],
            "outputs": ["B", reads, task.outputs],
        },
        "metric": task.metrics[0].name,
        "floor": task.metrics[0].floor,
        "metrics": [asdict(metric) for metric in task.metrics],
    }
