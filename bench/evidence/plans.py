"""Was it planned before it was run? What an experiment concludes and compares, now and when its first row was made.

`decides:` and `reference:` say something only if they were there before any score was. Git knows: the first row names
the commit that it was made by, and that commit has the `experiment.yaml` of then. Where the repository does not have
it, as with a row of elsewhere, the dates of its commits are asked. Outside of git nothing is known, and nothing said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ..rows import repositories
from ..rows.store import Row

FILE = "experiment.yaml"
Plan = Mapping[str, str]
"""The question, `decides`, the block `tune`, and `reference` with the task of each row that has one."""


def changed_since(folder: Path, rows: Iterable[Row]) -> Iterator[str]:
    """How the plan of the experiment in `folder` differs from that at its first row, a sentence a difference."""
    placed = [row for row in rows if isinstance(row.get("provenance"), dict)]
    first = min(placed, key=lambda row: str(row["provenance"].get("started") or "~"), default=None)
    if first is None or not (folder / FILE).is_file():
        return
    now, before = plan_of((folder / FILE).read_text(encoding="utf-8")), _before(folder, first)
    if now is None or before is None:
        return
    day = str(first["provenance"].get("started"))[:10]
    asked = "is as it was then" if now["question"] == before["question"] else "was changed too"
    for name in dict.fromkeys([*before, *now]):
        was, is_now = before.get(name, ""), now.get(name, "")
        if was == is_now or name == "question":
            continue
        what = "added" if not was else "taken away" if not is_now else "changed"
        so = f"; its contrasts were planned only if the question named them, which {asked}"
        so = so if name.startswith("reference") and is_now else ""
        yield f"{name}: {what} after the first row, of {day}{so}"


def plan_of(text: str) -> Plan | None:
    """The plan in the text of an `experiment.yaml`; None where that cannot be read."""
    try:
        content = YAML(typ="safe", pure=True).load(text)
        rows = [row for row in content.get("rows") or [] if isinstance(row, dict)]
    except (YAMLError, AttributeError, TypeError):
        return None
    plan = {name: _words(content.get(name)) for name in ("question", "decides")}
    plan["tune"] = json.dumps(tune) if (tune := content.get("tune")) else ""
    for row in rows:
        if reference := _words(row.get("reference") or content.get("reference")):
            tasks = row.get("task")
            named = ", ".join(map(str, tasks)) if isinstance(tasks, list) else str(tasks)
            plan[f"reference of {named}"] = reference
    return {name: text for name, text in plan.items() if text or name == "question"}


def _words(value: Any) -> str:
    """A text without regard to how its lines are broken."""
    return " ".join(str(value or "").split())


def _before(folder: Path, first: Row) -> Plan | None:
    """The plan when the first row was made; None where git does not know."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top is None:
        return None
    path = (folder / FILE).resolve().relative_to(Path(top).resolve()).as_posix()
    commit = first["provenance"].get("commit")
    text = _git(folder, "show", f"{commit}:{path}") if commit else None
    started = first["provenance"].get("started")
    if text is None and started:
        older = _git(folder, "rev-list", "-1", f"--before={started}", "HEAD", "--", FILE)
        text = _git(folder, "show", f"{older}:{path}") if older else None
    return None if text is None else plan_of(text)


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers in a folder; None where it refuses, or is not there."""
    answer = repositories.ask(folder, *arguments)
    return None if answer.trouble else answer.output.decode(errors="replace").strip()
