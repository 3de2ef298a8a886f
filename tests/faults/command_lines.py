"""Command lines by lot, by hypothesis, which finds the shortest one that fails in the same way."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import typer
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from seqbench.bench.cli import app
from trials import Trial

EXAMPLES = 12
"""Command lines of a trial."""
WORDS = (
    "adding", "adding(length=9)", "lstm", "gru(width=3)", "tcn", "gru seed 0", "0", "-1", "1e999", "nan", "9" * 400,
    "", " ", "a", "adding(length=1000000000)", "lstm(layers=100000)", "tcn(levels=1000)", "adding(", "(",
    "gru(width=", "[[[[", "../..", "/", "~", "~nobody", "\x1b[2J", "[/b]", "\xe9", "\ud800", "0-4", "5-2", "0,,1",
    "cpu", "cuda", "auto", "avx2", "native", "md", "json", "latex", "/dev/null", "no/such/file", "%s", "{0}", "--",
    "-", "=", "gru(width=3, width=4)", "gru.py", "os:path", "jsb", "ptb-char",
)  # fmt: skip


def trial(one: Trial) -> None:
    """So many command lines in this process; each ends with an exit code and, where it is 2, with one line."""
    folder = one.experiment()
    (folder / "runs.jsonl").write_bytes(one.rows.read_bytes())
    group = typer.main.get_command(app)
    verbs = {name: verb.params for name, verb in group.commands.items()}  # type: ignore[attr-defined]
    places = (str(folder), str(folder / "runs.jsonl"), str(folder / "experiment.yaml"), str(one.room))
    word = st.sampled_from(WORDS) | st.sampled_from(places) | st.text(max_size=8)

    @st.composite
    def lines(draw: st.DrawFn) -> list[str]:
        verb = draw(st.sampled_from(sorted(verbs)))
        words = [verb]
        for parameter in verbs[verb]:
            if parameter.param_type_name == "argument":
                words += [draw(word) for _ in range(draw(st.integers(0, 2)))] if draw(st.booleans()) else [str(folder)]
            elif draw(st.integers(0, 5)) == 0:
                words.append(parameter.opts[0])
                if not getattr(parameter, "is_flag", False) and draw(st.integers(0, 9)):
                    words.append(draw(word))
        if draw(st.integers(0, 9)) == 0:
            words.append(draw(word))
        return words

    @seed(one.seed)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=[*HealthCheck],
        phases=[Phase.generate, Phase.shrink],
    )
    @given(lines())
    def attempt(words: list[str]) -> None:
        inner = Trial(one.seed, one.room)
        inner.call(*_short(words))
        one.counts["command lines"] += 1
        assert not inner.findings, inner.findings[0]

    places_of_its_own = {"SEQBENCH_DATA": "data", "SEQBENCH_MIRROR": "none", "HOME": "home"}
    before, there = Path.cwd(), {name: str(one.room / place) for name, place in places_of_its_own.items()}
    no_network = mock.patch("requests.Session.get", side_effect=OSError("no network here"))
    (one.room / "here").mkdir()
    os.chdir(one.room / "here")
    try:
        with mock.patch.dict(os.environ, there), no_network:
            attempt()
    except AssertionError as error:
        kind, _, text = str(error).partition("\n")[0].partition(": ")
        one.found(kind, text)
    finally:
        os.chdir(before)


def _short(words: list[str]) -> list[str]:
    """The same without training."""
    more = {"run": ["--dry-run"], "verify": ["--static"], "speed": ["--read", "no/such/file"]}
    if words[0] in ("renew", "gradients", "check"):
        return [words[0], *(word for word in words[1:] if not Path(word.replace("\0", "")).exists()), "no-such-thing"]
    return [*words, *more.get(words[0], [])]
