"""Compiled loops: the machine code is kept where that can be, and a second process finds it there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from seqbench.tasks import _random

PROGRAM = """\
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import own_random as loops
loops.uniform(np.uint64(1), 0, 3, 4, threads=2)
loops.integers(np.uint64(1), 0, 3, 4, 1, 9)
loops.pairs(np.uint64(1), 0, 3, 4)
loops.draws(np.uint64(1), 0, 3)
kernels = [loops._fill_uniform, loops._fill_integers, loops._fill_pairs, loops._fill_draws]
found = sum(sum(kernel.stats.cache_hits.values()) for kernel in kernels)
compiled = sum(len(kernel.signatures) for kernel in kernels) - found
print(json.dumps([found, compiled, [kernel.stats.cache_path for kernel in kernels][0]]))
"""


def used(package: Path, home: Path, **environment: str) -> tuple[int, int, str | None]:
    """What a new process that runs the loops finds compiled, what it compiles itself, and where these are kept."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "XDG_"))}
    inherited |= {"HOME": str(home), "LOCALAPPDATA": str(home)}
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(package)]
    done = subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, compiled, path = json.loads(done.stdout)
    return found, compiled, path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with the module of the compiled loops alone, never used so far."""
    folder = tmp_path / "package"
    folder.mkdir()
    shutil.copy(_random.__file__, folder / "own_random.py")
    return folder


def unwritable(folder: Path) -> None:
    """Nothing can be kept in the folder, whoever asks: root, too, makes no folder where a file is."""
    (folder / "__pycache__").write_text("", encoding="utf-8")


def test_a_second_process_compiles_nothing(package: Path, tmp_path: Path) -> None:
    found, compiled, path = used(package, tmp_path)
    assert (found, compiled) == (0, 4)
    assert path == str(package / "__pycache__")
    assert used(package, tmp_path)[:2] == (4, 0)


def test_a_package_that_cannot_be_written_has_its_code_in_the_users_cache(package: Path, tmp_path: Path) -> None:
    unwritable(package)
    home = tmp_path / "home"
    found, compiled, path = used(package, home)
    assert (found, compiled) == (0, 4)
    assert path is not None
    assert Path(path).is_relative_to(home)
    assert used(package, home)[:2] == (4, 0)


def test_the_folder_can_be_named(package: Path, tmp_path: Path) -> None:
    named = {"NUMBA_CACHE_DIR": str(tmp_path / "named")}
    _, _, path = used(package, tmp_path / "home", **named)
    assert path is not None
    assert Path(path).is_relative_to(tmp_path / "named")
    assert used(package, tmp_path / "home", **named)[:2] == (4, 0)


def test_where_nothing_can_be_kept_it_is_compiled_each_time(package: Path, tmp_path: Path) -> None:
    unwritable(package)
    home = tmp_path / "home"
    home.write_text("no folder", encoding="utf-8")
    assert used(package, home) == used(package, home) == (0, 4, None)
