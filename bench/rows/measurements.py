"""The file of gradient norms, `gradients.csv`: how `gradient_flow` writes it, and how figures and `publish` read it.

It is a CSV. Its first line is a comment with a JSON object: where the measurements come from, and a checksum over that
and all the other lines.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from .. import atomic
from ..errors import UsageError
from ..experiments import registry
from ..experiments.runs import Run

FILE = "gradients.csv"
"""The name of a file of measurements, in an experiment's folder or its working area."""

Moment = Literal["initialisation", "trained"]


class Flow(NamedTuple):
    """The measurement of one network: norms[k-1] is g_k, NaN throughout where the training diverged."""

    run: Run
    model: str
    moment: Moment
    steps: int
    norms: list[float]


class Measurements(NamedTuple):
    """A file of measurements: where they come from, and one line for each network and k.

    Columns of the table: `run` (id), `model` (label), `model_name`, `seed`, `moment`, `steps`, `lag` (k), `norm` (g_k).
    """

    origin: dict[str, Any]
    table: pd.DataFrame


def write(path: Path, origin: dict[str, Any], flows: Iterable[Flow]) -> None:
    """Writes the measurements with their origin in the first line; `read` gives them back."""
    lines = [
        {
            "run": flow.run.id,
            "model": flow.model,
            "model_name": registry.short(flow.run.model.name),
            "seed": flow.run.seed,
            "moment": flow.moment,
            "steps": flow.steps,
            "lag": lag,
            "norm": norm,
        }
        for flow in flows
        for lag, norm in enumerate(flow.norms, 1)
    ]
    body = pd.DataFrame(lines).to_csv(index=False, lineterminator="\n", float_format="%.6g", na_rep="nan")
    signed = {**origin, "sum": _sum(origin, body)}
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, f"# {json.dumps(signed, sort_keys=True)}\n{body}")


def read(path: Path) -> Measurements:
    """The measurements of a file. Raises UsageError where it is none, or was changed after it was written."""
    try:
        first, _, body = path.read_text(encoding="utf-8").partition("\n")
        origin = json.loads(first.removeprefix("# "))
        stated = origin.pop("sum")
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: its first line does not say where the measurements come from") from error
    if stated != _sum(origin, body):
        raise UsageError(f"{path}: its content has not the sum that it was written with; measure again")
    return Measurements({**origin, "sum": stated}, pd.read_csv(io.StringIO(body), dtype={"run": str}))


def _sum(origin: dict[str, Any], body: str) -> str:
    return hashlib.sha256(f"{json.dumps(origin, sort_keys=True)}\n{body}".encode()).hexdigest()[:16]
