"""What the code of any commit gives at the beginning of runs: a program of its own, `python beginning.py < job.json`.

`renewing` runs it twice, with `seqbench` being the code of a row's commit and then the present code, and compares. So
it uses only what the suite has had at every commit that made rows, wherever its files lay then.

Reads a JSON object: `runs`, a list of rows' configurations; `folder`, of their experiment; `epochs`, through how many
of them each run is trained, or 0 for its first steps only; `device` and `threads`. Writes a line of JSON for each run,
in order: `facts`, or `error`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

LEAST_STEPS = 10
"""A beginning is at least so many steps long, and ends where the loop next records its loss."""


def found(*names: str) -> Any:
    """The first of these modules of `seqbench.bench` that this code has."""
    for name in names:
        place = f"seqbench.bench.{name}"
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if not (error.name and f"{place}.".startswith(f"{error.name}.")):
                raise  # the module is there, and lacks something itself
    raise ModuleNotFoundError(f"this code has none of {', '.join(names)}")


def facts_of(
    config: dict[str, Any], folder: Path, epochs: int = 0, device: str = "cpu", **threads: int
) -> dict[str, Any]:
    """What a run's code gives: sizes, yardsticks, the trace, the weights and the scores after the first steps.

    epochs: of a training through so many epochs instead, with its curve; then no evaluation stands apart.
    """
    torch = importlib.import_module("torch")
    runs, training = found("experiments.runs", "runs"), found("engine.training", "training")
    run = runs.from_config(config, folder)
    task = run.make_task()
    facts: dict[str, Any] = {"yardsticks": task.yardsticks()}
    stop = False

    def enough(progress: Any, steps: int) -> None:
        nonlocal stop
        stop = progress.epoch >= epochs if epochs else progress.total_steps >= LEAST_STEPS

    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "beginning.pt"
        try:
            with found("engine.checkpoint", "checkpoint").Checkpoint(file) as checkpoint:
                outcome = training.train(run, device, checkpoint, lambda: stop, enough, **threads)
        except training.Stopped:
            saved = torch.load(file, map_location="cpu", weights_only=True)
            weights, progress = saved["network"], saved["progress"]
        else:
            weights, progress = outcome.network.state_dict(), vars(outcome.progress)
    network = run.make_network(task)
    network.load_state_dict(weights)
    network.to(device)
    body = network.body
    sized = getattr(body, "state_size_after", None)  # code of before had only states of one size
    facts |= {
        "parameters": network.parameter_count,
        "state size": body.state_size if sized is None else sized(task.steps),
        "receptive field": body.receptive_field,
        "steps": progress["total_steps"],
        "trace": progress["trace"],
        "weights": digest(weights),
    }
    if epochs:
        return {**facts, "curve": [timeless(point) for point in progress["curve"] if point["epoch"] > 0]}
    evaluate, splits = found("engine.evaluation", "evaluation").evaluate, task.load(run.seed)
    for name, split in (("valid", splits.valid), ("test", splits.test)):
        facts[name] = evaluate(network, task, split.to(device), device)
    for length in run.training.test_lengths:
        other = task.at_length(length)
        facts[f"test at length {length}"] = evaluate(network, other, other.load(run.seed).test.to(device), device)
    return facts


def timeless(point: dict[str, Any]) -> dict[str, Any]:
    """A point of a curve without the time that it took."""
    return {key: value for key, value in point.items() if key != "seconds"}


def digest(weights: dict[str, Any]) -> str:
    """A checksum of all bits of a network's weights."""
    bits = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        bits.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return bits.hexdigest()[:16]


def forget_editable_installs() -> None:
    """Else an editable install of the present code would lend its packages to a code that has none of that name."""
    sys.meta_path[:] = [one for one in sys.meta_path if not getattr(one, "__module__", "").startswith("__editable__")]


def main(read: Callable[[], str] = sys.stdin.read) -> None:
    """Answers the job on standard input."""
    forget_editable_installs()
    job = json.loads(read())
    device = importlib.import_module("torch").device(job["device"])
    threads = {} if job["threads"] == 1 else {"threads": job["threads"]}  # the first commits knew no other number
    with found("engine.repeatable", "repeatable").repeatable(device, **threads):
        for config in job["runs"]:
            try:
                answer: dict[str, Any] = {
                    "facts": facts_of(config, Path(job["folder"]), job["epochs"], job["device"], **threads)
                }
            except Exception as error:  # whatever this code does wrong is its answer
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
