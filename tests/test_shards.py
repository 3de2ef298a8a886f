"""Shares of an experiment for job arrays: disjoint, complete, each with rows of its own until they are merged."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from backends import FOUR, Scripted, ids, jobs_of
from command import seqbench
from experiments import Recorder, checkpoints, rows_of, write
from rich.console import Console
from ruamel.yaml import YAML
from seqbench.bench.cli.experiments import say_how_to_go_on
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config
from seqbench.bench.rows.store import Workplace
from seqbench.bench.running import planning, shards, sweep
from seqbench.bench.running.backend import Begun, Event, Job, Stopped
from seqbench.bench.running.shards import Shard

pytestmark = pytest.mark.usefixtures("forgotten")

README = Path(__file__).resolve().parent.parent / "bench" / "running" / "README.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An experiment of four runs."""
    return write(tmp_path / "results" / "four", FOUR)


@pytest.mark.parametrize(("runs", "count"), [(0, 3), (5, 1), (7, 7), (10, 3), (3, 16)])
def test_shards_are_disjoint_complete_and_even(runs: int, count: int) -> None:
    every = [f"{number * 7919 % 10007:04d}" for number in range(runs)]
    shares = [Shard(number, count).ids(every) for number in range(1, count + 1)]
    assert sorted(run for share in shares for run in share) == sorted(every)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert shares == [Shard(number, count).ids(reversed(every)) for number in range(1, count + 1)]


@pytest.mark.parametrize("text", ["", "3", "3/", "/3", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b", "1.0/2"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        shards.parse(text)


def in_shard(folder: Path, shard: Shard, backend: Scripted) -> sweep.Result:
    """What the command does with `--shard`."""
    experiment, place = config.load(folder), Workplace(folder, shard.name)
    mine = shard.ids(ids(folder))
    planned = [item for item in planning.plan(experiment, place, "cpu") if item.run.id in mine]
    return sweep.run(experiment, planned, Recorder(), backend=backend, part=shard.name)


def test_each_shard_writes_rows_of_its_own_and_merge_brings_them_together(folder: Path) -> None:
    halves = [Shard(1, 2), Shard(2, 2)]
    for shard in halves:
        with Workplace(folder, halves[1].name if shard is halves[0] else halves[0].name).held():  # the other goes on
            assert in_shard(folder, shard, Scripted()).exit_code == 0
    files = [Workplace(folder, shard.name).working.path for shard in halves]
    assert [path.relative_to(Workplace(folder).area).as_posix() for path in files] == [
        "shard-1-of-2/runs.jsonl",
        "shard-2-of-2/runs.jsonl",
    ]
    assert rows_of(folder) == [], "the area itself has another writer: merge"
    merged = seqbench("merge", folder, *files)
    assert merged.code == 0, merged.err
    assert sorted(row["id"] for row in rows_of(folder)) == sorted(ids(folder))
    backend = Scripted()
    for shard in (*halves, Shard(1, 3)):
        in_shard(folder, shard, backend)
    assert jobs_of(backend) == [], "what was merged is not trained again, whatever the number of shards"


def test_two_processes_cannot_train_one_shard(folder: Path) -> None:
    shard = Shard(1, 2)
    with Workplace(folder, shard.name).held(), pytest.raises(UsageError, match="another process"):
        in_shard(folder, shard, Scripted())


def test_a_shard_that_was_cut_short_goes_on_where_it_was(folder: Path) -> None:
    shard = Shard(2, 2)

    def cut_short(job: Job, asked: object) -> list[Event]:
        (one,) = job.runs
        assert one.checkpoint is not None
        one.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        one.checkpoint.touch()
        return [Begun(one.run), Stopped(one.run)]

    in_shard(folder, shard, Scripted(cut_short))
    assert len(checkpoints(folder)) == 2, "in the area itself, where every number of shards finds them"
    backend = Scripted()
    in_shard(folder, shard, backend)
    assert {run for job in jobs_of(backend) for run in job} == shard.ids(ids(folder))
    assert checkpoints(folder) == []


def test_the_command_plans_each_run_in_one_shard(folder: Path) -> None:
    plans = [seqbench("run", folder, "--dry-run", "--json", "--shard", f"{one}/3").json for one in (1, 2, 3)]
    assert sorted(line["id"] for plan in plans for line in plan) == sorted(ids(folder))
    assert [len(plan) for plan in plans] == [2, 1, 1]
    chosen = [seqbench("run", folder, "--dry-run", "--json", "--only", "gru", "--shard", f"{one}/2") for one in (1, 2)]
    assert [len(answer.json) for answer in chosen] == [1, 1], "shares of what else is asked for"
    assert seqbench("run", folder, "--shard", "4/3").code == 2


def test_the_command_that_goes_on_has_the_share_and_the_cluster() -> None:
    shown = io.StringIO()
    given = {"shard": Shard(3, 16), "on": "ray", "storage": "/shared disk", "seeds": None}
    say_how_to_go_on(Console(file=shown, width=200), "tune", "results/mine", **given)
    command = shown.getvalue().partition("go on with: ")[2].strip()
    assert command == "seqbench tune results/mine --shard 3/16 --on ray --storage '/shared disk'"


SCRIPTS = [*re.finditer(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)]


def test_the_readmes_scripts_and_commands_are_true() -> None:
    """Shell that parses; every `seqbench run` of scripts and of the Kubernetes example has options that there are."""
    text = README.read_text(encoding="utf-8")
    for script in SCRIPTS:
        assert subprocess.run(["bash", "-n", "-c", script[1]], check=False).returncode == 0, script[1]
    (job,) = [YAML(typ="safe").load(one[1]) for one in re.finditer(r"```yaml\n(.*?)```", text, re.DOTALL)]
    assert job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    shell = "\n".join([*(one[1] for one in SCRIPTS), job["spec"]["entrypoint"]])
    commands = re.findall(r"seqbench run [^#\n`|]*", shell)
    assert len(commands) >= 5
    for command in commands:
        words = shlex.split(command.replace("$SLURM_ARRAY_TASK_ID", "3"))[3:]
        answer = seqbench("run", "results/quick", *words, "--dry-run")
        assert answer.code == 0, f"{command}: {answer.err}"


@pytest.mark.parametrize(("code", "requeued"), [(75, ["requeue 7_3"]), (0, []), (1, []), (143, [])])
def test_the_readmes_array_job_is_queued_again_at_75_alone(code: int, requeued: list[str], tmp_path: Path) -> None:
    """The script as it stands, with programs in place of srun and scontrol that write down how they are called."""
    (script,) = [one[1] for one in SCRIPTS if one[1].startswith("#!/bin/bash\n#SBATCH --job-name=seqbench\n")]
    for name, status in (("srun", code), ("scontrol", 0)):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/{name}.calls\nexit {status}\n', encoding="utf-8")
        program.chmod(0o755)
    variables = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_JOB_ID": "7", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ended = subprocess.run(["bash", "-c", script], env=variables, check=False)
    assert ended.returncode == code
    calls = tmp_path / "scontrol.calls"
    assert (calls.read_text(encoding="utf-8").splitlines() if calls.exists() else []) == requeued
    (asked,) = (tmp_path / "srun.calls").read_text(encoding="utf-8").splitlines()
    words = asked.split()
    assert words[:3] == ["seqbench", "run", "results/NAME"]
    answer = seqbench(*words[1:2], "results/quick", *words[3:], "--dry-run")
    assert answer.code == 0, answer.err
