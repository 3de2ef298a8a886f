"""The wheel holds every module, experiment and template, and what is installed from it works far from a checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import own_models
import pytest
from experiments import measured, measured_here
from seqbench.bench.contract import fitting
from seqbench.bench.experiments import config
from seqbench.bench.rows.store import Workplace

ROOT = Path(__file__).resolve().parent.parent
MODULES = [
    path.relative_to(ROOT).as_posix()
    for room in ("bench", "tasks", "models")
    for path in sorted((ROOT / room).rglob("*.py"))
    if "speed" not in path.parts
]
DATA = (
    "results/*/experiment.yaml",
    "results/*/runs.jsonl",
    "bench/report/page/templates/*",
    "results/published.yaml",
    "tasks/data.yaml",
)
PLACES = """
from seqbench.bench.experiments import places, registry
from seqbench.bench.rows.store import Workplace

folder = places.experiment_folder("results/quick")
print(registry.ROOT, folder, Workplace(folder).installed, sep="\\n")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the sources as they are, built from a copy, because building leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    files = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for file in files:
        if (ROOT / file).is_file():
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            (source / file).write_bytes((ROOT / file).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_every_folder_of_python_files_is_a_package_of_the_wheel() -> None:
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {Path(name).parent.as_posix().replace("/", ".") for name in MODULES} | {"results"}
    assert sorted(configured["packages"]) == sorted(["seqbench", *(f"seqbench.{folder}" for folder in folders)])


def test_the_wheel_holds_every_module_and_experiment(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    data = [path.relative_to(ROOT).as_posix() for pattern in DATA for path in ROOT.glob(pattern)]
    assert len(data) > 20
    assert {f"seqbench/{name}" for name in ("__main__.py", *MODULES, *data)} <= held
    assert not any(name.startswith(("bench/", "tasks/", "models/", "tests/")) for name in held)


@dataclass(frozen=True)
class Installed:
    """The wheel installed at `there`, and a folder outside of every checkout."""

    there: Path
    folder: Path

    def python(self, *words: str, **variables: str) -> str:
        """What Python prints in the folder, where it sees the installed package and no checkout."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.there),
            "PYTHONDONTWRITEBYTECODE": "1",  # else the package's folder gets what no user has put there
        }
        environment.pop("SEQBENCH_RUNS", None)
        ended = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert ended.returncode == 0, f"{ended.stdout}{ended.stderr}"
        return ended.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("outside")
    there = folder / "installed" / "site-packages"
    install = ["install", "-q", "--no-deps", "--no-index", "--no-compile", "--target", str(there), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True)
    return Installed(there, folder)


def test_an_installed_wheel_finds_its_experiments(installed: Installed) -> None:
    there = installed.there
    listed = installed.python("-m", "seqbench.bench.cli", "list")
    assert "copy-memory" in listed
    assert "tcn" in listed
    table = installed.python("-m", "seqbench.bench.cli", "table", "results/quick")
    committed = (ROOT / "results" / "quick" / "table.md").read_text(encoding="utf-8")
    first = next(line for line in committed.splitlines() if line.startswith("| adding"))
    assert first.split("|")[1].strip() in table
    root, folder, is_installed = installed.python("-c", PLACES).splitlines()
    assert Path(root) == there / "seqbench"
    assert Path(folder) == there / "seqbench" / "results" / "quick"
    assert is_installed == "True", "else rows of a user would be published into the package"
    assert not list(there.rglob("runs/*")), "nothing of a user's is written into the package"


EXPERIMENT = """\
question: Do people's own models train on a task of their own?
seeds: 1
training: {epochs: 1, batch: 16, learning_rate: 0.01}
rows:
- task: "my_task.py(length=12, train=64, valid=16, test=16)"
  parameters: 3000
  tolerance: 0.3
  models: [my_model.py, "my_net.py:Net", OWN]
"""


def examples(readme: Path, heading: str) -> list[str]:
    """The Python texts of a section."""
    section = readme.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def test_worked_examples_and_peoples_own_models_run_outside_of_the_checkout(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the wheel, at a budget of parameters, each with the same score as here: in two processes, of two installs."""
    folder = own_models.write(installed.folder / "mine")
    first, second = examples(ROOT / "models" / "README.md", "A model of your own")
    (task,) = examples(ROOT / "tasks" / "README.md", "A task of your own")
    for name, text in {"my_model.py": first, "my_net.py": second, "my_task.py": task}.items():
        (folder / name).write_text(text, encoding="utf-8")
    own = ", ".join(f'"{name}"' for name in own_models.NAMES)
    (folder / "experiment.yaml").write_text(EXPERIMENT.replace("OWN", own), encoding="utf-8")
    told = installed.python("-m", "seqbench.bench.cli", "run", "mine", "--device", "cpu", "--jobs", "2")
    rows = {row["id"]: row for row in Workplace(folder).rows()}
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    runs = config.load(folder).runs
    assert len(runs) == len(rows) == 2 + len(own_models.NAMES), told
    for run in runs:
        assert measured(rows[run.id]) == measured_here(run), str(run)
        assert abs(rows[run.id]["parameters"] / 3000 - 1) < 0.3


@pytest.mark.parametrize("name", ["my_model.py", "my_net.py:Net", "my_task.py"])
def test_worked_examples_keep_the_contract(name: str, tmp_path: Path) -> None:
    first, second = examples(ROOT / "models" / "README.md", "A model of your own")
    (task,) = examples(ROOT / "tasks" / "README.md", "A task of your own")
    for file, text in {"my_model.py": first, "my_net.py": second, "my_task.py": task}.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    (subject,) = fitting.check(name, ["adding(length=6, train=32, valid=8, test=8)"], speed=False, folder=tmp_path)
    assert not subject.broken, [str(item) for item in subject.items if item.verdict == "broken"]
