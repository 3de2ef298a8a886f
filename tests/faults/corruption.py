"""Corruption: any file that the suite reads is damaged, or holds what nobody expects, and commands read it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import studies
import torch
from seqbench.bench.engine.checkpoint import Checkpoint
from seqbench.bench.experiments import config, kept_sizes
from seqbench.bench.rows.store import signed
from seqbench.bench.tuning import selection, winners
from seqbench.tasks import _encoded
from seqbench.tasks._text import Encoded
from trials import Hung, Trial, time_limit

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**400, 1e308, "", "a", "\ud800", "\x1b[2J", "[/b]", [], {}, [[]], {"a": {}}, "9" * 5000,
    [None], {"": None}, "../../x", "nan",
)  # fmt: skip
"""Values of every type, to stand where another is expected."""
DEEP = b"[" * 100_000
"""What a reader of JSON that calls itself cannot come back from."""
RESULTS = Path(__file__).resolve().parents[2] / "results"


def trial(one: Trial) -> None:
    """One file, damaged in one way, and some of the commands that read it."""
    often = [_rows, _yaml, _measurements, _checkpoint, _encoded_text, _speed]
    one.random.choice([*often, _rows, _own_model, _beside, _sizes, _tuned])(one)


def damaged(one: Trial, content: bytes) -> bytes:
    """The bytes with a flipped bit, an end that is missing, a piece that is new, gone, or there twice."""
    random = one.random
    at = random.randrange(len(content) + 1)
    end = min(len(content), at + random.choice([1, 1, 3, 20, 500]))
    rubbish = random.choice([b"\0", b"\xff", b"\r", b"\n", b"'", b'"', b"{", b"]", b"-", b"1e999", random.randbytes(9)])
    changes: list[Callable[[], bytes]] = [
        lambda: (
            content[:at] + bytes(byte ^ 1 << random.randrange(8) for byte in content[at : at + 1]) + content[at + 1 :]
        ),
        lambda: content[:at],
        lambda: content[:at] + rubbish * random.choice([1, 1, 2, 5000]) + content[at:],
        lambda: content[:at] + content[end:],
        lambda: content[:end] + content[at:],
        lambda: b"",
        lambda: DEEP,
        lambda: random.randbytes(random.randrange(300)),
    ]
    return random.choice(changes)()


def odd(one: Trial, value: Any) -> Any:
    """The value with something in it that is of another type, missing, or more."""
    random = one.random
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = random.choice(sorted(value))
        if random.random() < 0.1:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: odd(one, value[key])}
    if isinstance(value, list) and value and random.random() < 0.7:
        at = random.randrange(len(value))
        return [*value[:at], odd(one, value[at]), *value[at + 1 :]]
    return random.choice(ODD)


def _read_by(one: Trial, folder: Path, more: tuple[tuple[object, ...], ...] = ()) -> None:
    commands: list[tuple[object, ...]] = [
        ("status", folder),
        ("status", folder, "--json"),
        ("table", folder),
        ("table", folder, "--format", "json"),
        ("table", folder, "--format", "latex"),
        ("run", folder, "--dry-run"),
        ("verify", folder, "--static"),
        ("reproduce", folder, "gru seed 0"),
        *more * 3,
    ]
    drawing: list[tuple[object, ...]] = [("report", folder, "--out", one.room / "page.html"), ("publish", folder)]
    chosen = one.random.sample(commands, 3)
    if one.random.random() < 0.1:  # they take seconds
        chosen.append(one.random.choice(drawing))
    for command in chosen:
        one.counts["files read"] += 1
        one.call(*command)


def _rows(one: Trial) -> None:
    """Rows, published or not, of another machine, or their renewals: torn, edited, or odd and signed again."""
    folder, random = one.experiment(), one.random
    lines = one.rows.read_bytes().splitlines(keepends=True)
    if random.random() < 0.7:
        at = random.randrange(len(lines))
        row = odd(one, json.loads(lines[at]))
        if isinstance(row, dict) and random.random() < 0.9:
            try:
                row = signed(row)
            except (ValueError, TypeError):
                row["sum"] = "0" * 16
        lines[at] = json.dumps(row).encode() + b"\n"
        content = b"".join(lines)
    else:
        content = damaged(one, b"".join(lines))
    published, working = folder / "runs.jsonl", folder.parents[1] / "runs" / "small" / "runs.jsonl"
    file = random.choice([published, working, one.room / "foreign.jsonl"])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    if random.random() < 0.3:
        renewal = {"id": "a", "sum": "b", "source": "c", "instructions": "AVX2", "how": "began the same"}
        (folder / "renewed.jsonl").write_bytes(damaged(one, json.dumps(odd(one, renewal)).encode() + b"\n"))
    merging = ("merge", folder, file, *random.choice([(), ("--prefer", "newer"), ("--json",)]))
    _read_by(one, folder, (merging,) if file.parent == one.room else ())


def _yaml(one: Trial) -> None:
    folder = one.experiment()
    file = folder / "experiment.yaml"
    file.write_bytes(damaged(one, file.read_bytes()))
    _read_by(one, folder)


def _own_model(one: Trial) -> None:
    folder = one.experiment()
    file = folder / "experiment.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("gru(", "own.py("), encoding="utf-8")
    text = b'from seqbench.models import gru\n\n\nclass Model(gru.Model):\n    """Mine."""\n\n    limit = 1\n'
    (folder / "own.py").write_bytes(damaged(one, text))
    _read_by(one, folder, (("describe", "adding(length=9)", folder / "own.py"),))


def _measurements(one: Trial) -> None:
    folder, random = one.experiment(), one.random
    shutil.copyfile(one.rows, folder / "runs.jsonl")
    content = one.gradients.read_bytes()
    if random.random() < 0.5:
        first, _, body = content.decode().partition("\n")
        content = f"# {json.dumps(odd(one, json.loads(first[2:])))}\n{body}".encode()
    else:
        content = damaged(one, content)
    for place in (folder, folder.parents[1] / "runs" / "small"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "gradients.csv").write_bytes(content)
    _read_by(one, folder, (("plot", folder, "--only", "gradients", "--out", one.room / "figures"),))


def _speed(one: Trial) -> None:
    source, file = one.random.choice(sorted((RESULTS / "speed").glob("*.json"))), one.room / "speed.json"
    content = source.read_bytes()
    file.write_bytes(_changed(one, content))
    one.counts["files read"] += 1
    one.call("speed", "--read", file)


def _changed(one: Trial, content: bytes) -> bytes:
    """JSON, damaged or with something odd in it."""
    return damaged(one, content) if one.random.random() < 0.4 else json.dumps(odd(one, json.loads(content))).encode()


def _beside(one: Trial) -> None:
    """Measurements of speed, and their history, which stand beside an experiment."""
    folder = one.experiment()
    shutil.copyfile(one.rows, folder / "runs.jsonl")
    shutil.copytree(RESULTS / "speed", folder.parent / "speed", ignore=shutil.ignore_patterns("*.md", "*.png", "*.svg"))
    shutil.copytree(RESULTS / "asv", folder.parent / "asv", ignore=shutil.ignore_patterns("*.png", "*.svg", "html"))
    file = one.random.choice([*(folder.parent / "speed").rglob("*.json"), *(folder.parent / "asv").rglob("*.json")])
    file.write_bytes(_changed(one, file.read_bytes()))
    one.counts["files read"] += 1
    one.call("report", folder, "--out", one.room / "page.html")


def _sizes(one: Trial) -> None:
    """The widths that were searched for once, in the user's cache."""
    folder = one.experiment()
    file = folder / "experiment.yaml"
    text = file.read_text(encoding="utf-8").partition("  models:")[0] + "  parameters: 3091\n  models: [gru]\n"
    file.write_text(text, encoding="utf-8")
    kept = kept_sizes.KeptSizes()
    place = mock.patch.object(kept_sizes, "place", return_value=one.room / "sizes")
    with place, mock.patch.object(config, "KEPT", kept):
        before = one.call("status", folder, "--json")
        for cache in (one.room / "sizes").iterdir():
            cache.write_bytes(_changed(one, cache.read_bytes()))
        kept._found = None
        one.counts["files read"] += 1
        if one.call("status", folder, "--json") != before:
            one.found("other bits", "a damaged cache of widths gives other runs")


def _tuned(one: Trial) -> None:
    """The trials of a search, and the winners among them."""
    folder = one.room / "results" / "small"
    experiment = studies.study_in(folder)
    rows = studies.trial_rows(experiment)
    studies.publish_trials(experiment, rows)
    winners.write(experiment, selection.searched(experiment, rows))
    file = folder / one.random.choice(["tuned.yaml", "trials.jsonl"])
    file.write_bytes(damaged(one, file.read_bytes()))
    _read_by(one, folder, (("tune", folder, "--dry-run"),))


def _checkpoint(one: Trial) -> None:
    """A damaged one is set aside; one that is whole and holds odd things is not this function's."""
    file, content = one.room / "run.pt", {"network": {"a": torch.arange(99.0)}, "best": {}, "n": [1, "x", None]}
    with Checkpoint(file) as kept:
        kept.save(content)
        whole = file.read_bytes()
        changed = damaged(one, whole)
        file.write_bytes(changed)
        found = _attempt(one, lambda: kept.load(torch.device("cpu")), ())
    if found is not None and (
        not torch.equal(found["network"]["a"], torch.arange(99.0)) or found["n"] != [1, "x", None]
    ):
        one.found("other bits", "a damaged checkpoint was read")


def _encoded_text(one: Trial) -> None:
    """Whatever is damaged in the cache of encoded texts, the ids are those of the text."""
    ids = {name: np.arange(50, dtype=np.int32) % 7 for name in ("train", "test")}
    text = Encoded(list("abcdefg"), ids, dict.fromkeys(ids, "x"))
    folder = one.room / "encoded" / "text"
    _encoded.kept(folder, lambda: text)
    for file in one.random.sample(sorted(folder.iterdir()), one.random.randint(1, 2)):
        choice = one.random.random()
        if choice < 0.1:
            file.unlink()
        elif choice < 0.5 and file.suffix == ".json":
            file.write_text(json.dumps(odd(one, json.loads(file.read_bytes()))), encoding="utf-8")
        else:
            file.write_bytes(damaged(one, file.read_bytes()))
    found = _attempt(one, lambda: _encoded.kept(folder, lambda: text), ())
    if found is None or found.symbols != text.symbols or any((found.texts[name] != ids[name]).any() for name in ids):
        one.found("other bits", "a damaged text was read")


def _attempt(one: Trial, attempt: Callable[[], Any], expected: tuple[type[Exception], ...]) -> Any:
    """What it gives; None for an expected error. A hang and any other error are troubles."""
    one.counts["files read"] += 1
    try:
        with time_limit():
            return attempt()
    except expected:
        return None
    except Hung:
        one.found("hangs", "a file is read")
    except Exception as error:
        one.found("tracebacks", f"{type(error).__name__}: {error}"[:300])
    return None
