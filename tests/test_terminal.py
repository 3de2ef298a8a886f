"""What others wrote reaches a terminal as it stands, whatever the terminal and the user's settings are."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from command import seqbench
from experiments import SMALL, rows_of, sweep_in, write
from seqbench.bench import cli
from seqbench.bench.cli import interrupts
from seqbench.bench.cli.live import Live
from seqbench.bench.cli.terminal import Console, clean, encodable, standard_output
from seqbench.bench.experiments import config
from seqbench.bench.running import cores, processes

ODD = "Is it [/b] or [red]this[/red], \\e[31mred\\e[0m?"
"""In YAML's double quotes, where backslash e is the character that steers a terminal."""


def odd(folder: Path) -> Path:
    return write(folder, f'question: "{ODD}"\n' + SMALL.partition("\n")[2])


def test_square_brackets_and_control_characters_of_a_question(tmp_path: Path) -> None:
    folder = odd(tmp_path / "results" / "odd")
    assert "question" in (folder / "experiment.yaml").read_text()
    sweep_in(folder)
    for verb in ("status", "table", "run"):
        answer = seqbench(verb, folder)
        assert answer.code == 0, answer.err
        assert "\x1b" not in answer.out + answer.err
    for verb in ("table", "run"):
        assert "Is it [/b] or [red]this[/red], \\x1b[31mred" in " ".join(seqbench(verb, folder).out.split())
    assert [row["status"] for row in rows_of(folder)] == ["done", "done"]


@pytest.mark.parametrize("text", ["[/tmp/x]", "[/]", "[bold]", ":smile:", "\x1b[2J", "\r", "\ud800", "\x9b31m"])
def test_a_text_is_printed_as_it_stands_or_spelled_out(text: str) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    console.print(f"before {text} after")
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert printed == f"before {clean(text)} after\n"
    assert clean("one\ttwo\nthree") == "one\ttwo\nthree"


def test_an_error_of_a_user_is_no_markup(tmp_path: Path) -> None:
    missing = tmp_path / "[red]" / "[/x]"
    answer = seqbench("status", missing)
    assert (answer.code, str(missing) in answer.err) == (2, True)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_what_an_encoding_lacks_becomes_a_question_mark(encoding: str) -> None:
    bytes_of = io.BytesIO()
    stream = io.TextIOWrapper(bytes_of, encoding=encoding)
    encodable(stream)
    print("mse ↓", file=stream, flush=True)
    assert bytes_of.getvalue().startswith(b"mse ?")


def test_colours_that_are_asked_for_in_a_log_bring_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    log = Console(file=io.StringIO())
    assert (log.is_terminal, log.is_live, Live(log).bar.disable) == (True, False, True)


class Broken(io.StringIO):
    """A terminal that is gone, or a disk that is full, after the first line."""

    def write(self, text: str) -> int:
        if self.getvalue():
            raise OSError(5, "Input/output error")
        return super().write(text)


def test_training_goes_on_though_nobody_can_see_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, gone = write(tmp_path / "small"), Broken()
    monkeypatch.setattr("sys.stdout", gone)
    with Live(standard_output(unfailing=True)) as live:
        assert sweep_in(folder, live).exit_code == 0  # type: ignore[arg-type]
    assert gone.getvalue().count("\n") <= 1
    assert [row["status"] for row in rows_of(folder)] == ["done", "done"]


def test_a_reader_that_has_enough_is_no_error() -> None:
    code = "import sys; sys.argv = ['seqbench', 'list']; from seqbench.bench import cli; cli.main()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.communicate()[1] == b""
    assert process.returncode == 1


def test_ctrl_c_amid_an_import_is_the_quiet_end(tmp_path: Path) -> None:
    """torch's import aborts where it meets an exception. This module stands for it: it goes on where it is let."""
    text = "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\nfinally:\n    print('goes on')\n"
    (tmp_path / "slow.py").write_text(text, encoding="utf-8")
    code = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # scripts' may ignore it
        "from seqbench.bench.cli import interrupts\nwith interrupts.ending_imports():\n    import slow"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_ctrl_c_elsewhere_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(cli, "encodable", lambda *streams: pressed())
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert seqbench("list").code == 130
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(KeyboardInterrupt), interrupts.ending_imports():
        pressed()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_version_short_help_and_the_module() -> None:
    from importlib.metadata import version

    assert seqbench("--version").out == f"seqbench {version('seqbench')}\n"
    assert seqbench("-h").out == seqbench("--help").out != ""
    assert seqbench("run", "-h").out == seqbench("run", "--help").out
    ended = subprocess.run([sys.executable, "-m", "seqbench", "--version"], capture_output=True, text=True)
    assert ended.stdout == seqbench("--version").out, ended.stderr


def test_the_file_of_an_experiment_may_be_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "one")
    one, other = (seqbench("run", name, "--dry-run") for name in (folder, folder / "experiment.yaml"))
    assert one == other
    assert one.out.count("new") == 2
    assert config.load(folder).name == "one"


SETTINGS = """import json, sys
from seqbench.bench import cli
sys.argv = ["seqbench", "--version"]
try:
    cli.main()
except SystemExit:
    pass
from seqbench.bench.report.figures import style
import matplotlib
with style.settings():
    print(json.dumps([matplotlib.rcParams["axes.grid"], matplotlib.rcParams["text.usetex"]]))
"""


def test_figures_do_not_depend_on_the_users_settings(tmp_path: Path) -> None:
    """Nor does the command on a backend that is not installed: it writes files."""
    (tmp_path / "matplotlibrc").write_text("axes.grid: True\ntext.usetex: True\n")
    own = {**os.environ, "MPLCONFIGDIR": str(tmp_path), "MPLBACKEND": "module://of.a.notebook"}
    ended = subprocess.run([sys.executable, "-c", SETTINGS], env=own, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == [False, False]


def test_a_long_name_of_the_folder_for_temporary_files_means_no_fork_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/" + "t" * (processes.LONGEST_FOLDER - 1))
    assert processes.worker_context("cpu").get_start_method() == "forkserver"
    monkeypatch.setattr(tempfile, "tempdir", "/" + "t" * processes.LONGEST_FOLDER)
    assert processes.worker_context("cpu").get_start_method() == "spawn"


@pytest.mark.parametrize(
    ("groups", "files", "granted"),
    [
        ("0::/\n", {"cpu.max": "50000 100000"}, 0.5),
        ("0::/\n", {"cpu.max": "max 100000"}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, 1.5),
        (
            "4:memory:/x\n1:cpu,cpuacct:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "200000", "cpu/a/cpu.cfs_period_us": "100000"},
            2,
        ),
        ("1:cpu:/of/the/host\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("1:cpu:/of/the/host\n", {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ("", {}, None),
    ],
)
def test_the_quota_of_a_container_counts(
    groups: str, files: dict[str, str], granted: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in {
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert cores.quota(tmp_path) == granted
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "quota", lambda: granted)
    assert cores.cores() == (8 if granted is None else max(1, int(granted)))
