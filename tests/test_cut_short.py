"""Plans belong to the lock, and what a killed command leaves half done is noticed and finished by the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import made_rows
import pytest
from command import seqbench
from experiments import Recorder
from seqbench.bench.errors import UsageError
from seqbench.bench.evidence import checking, merging, publishing, renewing
from seqbench.bench.experiments import config
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.rows import renewals
from seqbench.bench.rows.store import RowFile, Workplace
from seqbench.bench.running import planning, sweep
from seqbench.bench.running.planning import Planned

pytestmark = pytest.mark.usefixtures("forgotten", "no_figure")


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return made_rows.write(tmp_path / "results" / "mine", made_rows.LONE)


def plan(experiment: Experiment) -> list[Planned]:
    return planning.plan(experiment, Workplace(experiment.folder), "cpu")


def test_a_plan_is_made_when_nobody_else_can_change_the_rows(experiment: Experiment, tmp_path: Path) -> None:
    """A merge that comes first has its rows counted, and one that comes later is refused: no run has two rows."""
    (run,) = experiment.runs
    foreign = RowFile(tmp_path / "foreign.jsonl")
    foreign.replace([made_rows.made(run)])
    assert [item.reason for item in plan(experiment)] == ["new"], "what a plan from before the lock would say"
    assert len(merging.merge(experiment, [foreign.path]).added) == 1
    asked = []

    def planned() -> list[Planned]:
        with pytest.raises(UsageError, match="another process runs or publishes it"):
            merging.merge(experiment, [foreign.path])
        asked.extend(plan(experiment))
        return asked

    display = Recorder()
    assert sweep.run(experiment, planned, display).rows == []
    assert [item.reason for item in asked] == ["finished"]
    assert (display.planned, display.done) == (0, 1)
    assert len(Workplace(experiment.folder).working.read()) == 1


def test_the_command_plans_within_the_lock(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that comes between the reading of the experiment and the lock."""
    (run,) = experiment.runs
    place = Workplace(experiment.folder)
    hold = Workplace.held

    def held_late(self: Workplace) -> Any:
        if not place.working.path.exists():
            place.working.append(made_rows.made(run))
        return hold(self)

    monkeypatch.setattr(Workplace, "held", held_late)
    answer = seqbench("run", experiment.folder, "--device", "cpu")
    assert answer.code == 0
    assert len(place.working.read()) == 1


def cut_short(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishes a row, and is killed while the table is made."""

    def killed(*arguments: object) -> str:
        raise KeyboardInterrupt

    place = Workplace(experiment.folder)
    place.working.append(made_rows.made(experiment.runs[0]))
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "table", killed)
        with pytest.raises(KeyboardInterrupt):
            publishing.publish(experiment)
    assert len(place.published.read()) == 1


@pytest.mark.parametrize("verb", ["renew", "publish"])
def test_what_was_cut_short_is_noticed_and_finished(
    verb: str, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = experiment.folder / "table.md"
    path.write_text("the table of before\n", encoding="utf-8")
    cut_short(experiment, monkeypatch)
    assert path.read_text(encoding="utf-8") == "the table of before\n", "whole, if old"
    assert "publish or renew was cut short" in seqbench("status", experiment.folder).out
    found = [str(one) for one in checking.check(experiment.folder).findings if one.kind == "error"]
    assert "table.md: publish or renew was cut short before it was made; seqbench publish makes it" in found
    answer = seqbench(verb, experiment.folder)
    assert answer.code == 0
    assert "gru" in path.read_text(encoding="utf-8")
    assert not Workplace(experiment.folder).unfinished.exists()
    assert [str(one) for one in checking.check(experiment.folder).findings if one.kind == "error"] == []
    assert "cut short" not in seqbench("status", experiment.folder).out


def test_a_renewal_notes_what_it_begins(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first record is kept: from then on rows are current that the table marks as stale."""
    (run,) = experiment.runs
    place = Workplace(experiment.folder)
    row = made_rows.made(run)
    place.area.mkdir(parents=True)
    noted = []
    monkeypatch.setattr(renewals, "keep", lambda *arguments: noted.append(place.unfinished.exists()))
    one = renewing._Stale(row, run, (), "c0ffee1234")
    renewing._keep(place, [(one, renewing.Renewal(row, (), "otherwise"))], "c0ffee1234", "")
    assert noted == [], "where no row is renewed nothing is begun"
    renewing._keep(place, [(one, renewing.Renewal(row, ()))], "c0ffee1234", "")
    assert noted == [True]


def test_rows_are_not_moved_while_another_process_begins(experiment: Experiment) -> None:
    """Even where the working area had no row yet when `publish` looked."""
    place = Workplace(experiment.folder)
    with place.held(), pytest.raises(UsageError, match="another process runs or publishes it"):
        publishing.publish(config.load(experiment.folder))
