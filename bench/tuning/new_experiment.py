"""A new experiment out of one of the suite's: the same tasks, budgets and search, for other models.

A suite is an experiment whose tasks are worth asking of any model, such as results/laptop. What it says of a model (its
options, a tolerance, a size of its own on one task) is taken over; a model that it does not have takes the row's.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from .. import atomic
from ..errors import UsageError
from ..experiments import config, registry
from ..experiments.config import Experiment
from ..experiments.notation import Spec, parse
from ..experiments.options import options_of
from ..experiments.places import experiment_folder, own_results
from ..experiments.settings import Training

KEPT = ("preset", "seeds", "precision", "training", "rows")
"""What a new experiment has of the suite as it stands there; models and `tune:` are made to fit."""


class New(NamedTuple):
    """A new experiment, and what of the suite it had to leave out, a sentence each."""

    experiment: Experiment
    left_out: Sequence[str]


def write(folder: Path, models: str, suite: str) -> New:
    """Writes `folder/experiment.yaml`: these models on the tasks of a suite, tuned as there.

    models: names, specs or files with commas between them, files as seen from the current folder. suite: the name of an
    experiment of the suite, or a folder. Raises UsageError where the file is there already, a model cannot be had or
    does not fit the budget of a task (the file stays then, and the error names its line), OSError where the folder
    cannot be written.
    """
    file = folder / "experiment.yaml"
    if file.exists():
        raise UsageError(f"{file} is there already; name another folder")
    named = own_results() / suite
    source = named if (named / "experiment.yaml").is_file() else experiment_folder(suite)
    yaml = YAML()  # with the comments
    yaml.width = 120
    content = yaml.load((source / "experiment.yaml").read_text(encoding="utf-8"))
    given = [parse(text) for text in _apart(models)]
    if len(given) < 2:
        raise UsageError("--models: at least two models are needed, with commas between them, to compare them")
    options = [{*options_of(registry.find("model", spec.name))} for spec in given]
    asked = [_seen_from(folder, spec) for spec in given]
    left_out = _fit(content, asked, options)
    names = [registry.short(spec.name) for spec in asked]
    question = f"How do {', '.join(names[:-1])} and {names[-1]} compare on the tasks of the suite {source.name}?"
    made: dict[str, Any] = {"question": question, "reference": _reference(content, names)}
    made |= {key: content[key] for key in KEPT[:-1] if key in content}
    made |= {key: content[key] for key in ("tune", "models") if key in content}
    stream = io.StringIO()
    yaml.dump({**made, "rows": content["rows"]}, stream)
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write(file, f"# Made from {source.name} by seqbench new; edit it as you like.\n{stream.getvalue()}")
    return New(config.load(folder, winners=False), left_out)


def _fit(content: MutableMapping[str, Any], asked: Sequence[Spec], options: Sequence[set[str]]) -> list[str]:
    """Puts these models in the place of the suite's; what had to be left out, a sentence each.

    options: the names of each model's options.
    """
    names, left_out = [registry.short(spec.name) for spec in asked], list[str]()
    common = list(content.get("models") or [])
    for row in content["rows"]:
        row.pop("reference", None)
        if own := list(row.get("models") or []):
            row["models"] = [entry for spec in asked for entry in _entries(spec, own, common)]
        left_out += _without_lacking(row, names, options, f"{row['task']}: ")
    everywhere = [entry for spec in asked for entry in _entries(spec, common, ())]
    if any("models" not in row or not row["models"] for row in content["rows"]):
        content["models"] = everywhere
    else:
        content.pop("models", None)
    if tune := content.get("tune"):
        left_out += _without_lacking(tune, names, options, "")
        for family in [name for name in tune.get("additions") or {} if name not in names]:
            del tune["additions"][family]
        if not tune.get("additions"):
            tune.pop("additions", None)
    return left_out


def _entries(spec: Spec, own: Sequence[Any], common: Sequence[Any]) -> Iterator[Any]:
    """What the suite says of a model that is named alone; else the model as it is asked for."""
    for entries in (own, common):
        found = [entry for entry in entries if parse(_model(entry)).name == spec.name]
        if found and not spec.options:
            yield from found
            return
    yield str(spec)


def _model(entry: Any) -> str:
    return str(entry["model"] if isinstance(entry, Mapping) else entry)


def _without_lacking(
    place: MutableMapping[str, Any], names: Sequence[str], options: Sequence[set[str]], where: str
) -> Iterator[str]:
    """Takes out of a `space:` the settings that a model lacks: all models of a row have one space."""
    for setting in [*(place.get("space") or {})]:
        known = [own | {*options_of(Training)} for own in options]
        lacking = [name for name, own in zip(names, known, strict=True) if setting not in own]
        if lacking:
            place["space"] = {name: values for name, values in place["space"].items() if name != setting}  # of this row
            yield f"{where}{setting} is not tuned, for no model: {', '.join(lacking)} has no such option"
    if where and "space" in place and not place["space"]:
        del place["space"]


def _reference(content: Mapping[str, Any], names: Sequence[str]) -> str:
    """The suite's reference where it is among the models, else the first of them that is not a file of one's own."""
    wanted = content.get("reference")
    if wanted in names:
        return str(wanted)
    return next((name for name in names if name in registry.listing("model")), names[0])


def _seen_from(folder: Path, spec: Spec) -> Spec:
    """A model whose file is named as the experiment in `folder` names it."""
    path, suffix, rest = spec.name.partition(".py")
    file = Path(f"{path}.py")
    if not suffix or not file.is_file():
        return spec
    return Spec(Path(os.path.relpath(file, folder)).as_posix() + rest, spec.options)


def _apart(models: str) -> list[str]:
    """The models between the commas that stand in no bracket.

    >>> _apart("my_net.py:Net, lstm(layers=2, dropout=0.1),gru")
    ['my_net.py:Net', 'lstm(layers=2, dropout=0.1)', 'gru']
    """
    parts, depth = [""], 0
    for sign in models:
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip()]
