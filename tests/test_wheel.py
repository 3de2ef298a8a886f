"""The wheel holds every module, experiment and template, and what is installed from it works far from a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

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


def test_an_installed_wheel_finds_its_experiments(wheel: Path, tmp_path: Path) -> None:
    there = tmp_path / "installed" / "site-packages"
    install = ["install", "-q", "--no-deps", "--no-index", "--no-compile", "--target", str(there), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(there), "PYTHONPYCACHEPREFIX": str(tmp_path / "compiled")}
    environment.pop("SEQBENCH_RUNS", None)

    def python(*words: str) -> str:
        ended = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    listed = python("-m", "seqbench.bench.cli", "list")
    assert "copy-memory" in listed
    assert "tcn" in listed
    table = python("-m", "seqbench.bench.cli", "table", "results/quick")
    committed = (ROOT / "results" / "quick" / "table.md").read_text(encoding="utf-8")
    first = next(line for line in committed.splitlines() if line.startswith("| adding"))
    assert first.split("|")[1].strip() in table
    root, folder, installed = python("-c", PLACES).splitlines()
    assert Path(root) == there / "seqbench"
    assert Path(folder) == there / "seqbench" / "results" / "quick"
    assert installed == "True", "else rows of a user would be published into the package"
    assert not list(there.rglob("runs/*")), "nothing of a user's is written into the package"
