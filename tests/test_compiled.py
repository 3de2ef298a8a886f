"""Compiled loops: the machine code is kept where that can be, and a second process finds it there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from seqbench.models import _compiling
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


def used(package: Path, home: Path, program: str = PROGRAM, **environment: str) -> tuple[int, Any, str | None]:
    """What a new process that runs the loops finds compiled, what it compiles itself, and where these are kept.

    Of KERNELS the second is what the kernel answers.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "XDG_"))}
    inherited |= {"HOME": str(home), "LOCALAPPDATA": str(home)}
    command = [sys.executable, "-W", "error", "-c", program, str(package)]
    done = subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, second, path = json.loads(done.stdout)
    return found, second, path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with the module of the compiled loops alone, never used so far."""
    folder = tmp_path / "package"
    folder.mkdir()
    shutil.copy(_random.__file__, folder / "own_random.py")
    return folder


KERNELS = """\
import json, sys, types
sys.modules["torch"] = types.SimpleNamespace(Tensor=object)  # compiles nothing, and takes seconds to import
sys.path.insert(0, sys.argv[1])
import numpy as np
from own_models import _callee, _caller
answer = _caller.outer(3.0)
print(json.dumps([sum(_caller.outer.stats.cache_hits.values()), answer, _caller.outer.stats.cache_path]))
"""
CALLEE = """\
from ._compiling import kernel

@kernel
def inner(number):
    return number + 1
"""
CALLER = """\
from ._callee import inner
from ._compiling import kernel

@kernel
def outer(number):
    return 2 * inner(number)
"""


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    """A package with the compiling of the models' kernels, and one kernel in a file that calls one in another."""
    package = tmp_path / "package" / "own_models"
    package.mkdir(parents=True)
    shutil.copy(_compiling.__file__, package)
    for name, text in (("__init__", ""), ("_callee", CALLEE), ("_caller", CALLER)):
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    return package


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


def test_a_kernel_is_compiled_again_where_another_file_that_it_calls_has_changed(kernels: Path, tmp_path: Path) -> None:
    found, answer, path = used(kernels.parent, tmp_path, KERNELS)
    assert (found, answer) == (0, 8)
    assert path is not None
    assert Path(path).is_relative_to(kernels / "__pycache__")
    assert used(kernels.parent, tmp_path, KERNELS)[:2] == (1, 8)
    (kernels / "_callee.py").write_text(CALLEE.replace("+ 1", "+ 2"), encoding="utf-8")
    assert used(kernels.parent, tmp_path, KERNELS)[:2] == (0, 10)
    assert used(kernels.parent, tmp_path, KERNELS)[:2] == (1, 10)


def test_kernels_are_kept_in_the_users_cache_in_a_named_folder_or_nowhere(kernels: Path, tmp_path: Path) -> None:
    unwritable(kernels)
    for home, named in (("home", {}), ("elsewhere", {"NUMBA_CACHE_DIR": str(tmp_path / "elsewhere" / "named")})):
        path = used(kernels.parent, tmp_path / home, KERNELS, **named)[2]
        assert path is not None
        assert Path(path).is_relative_to(tmp_path / home)
        assert used(kernels.parent, tmp_path / home, KERNELS, **named)[:2] == (1, 8)
    (tmp_path / "none").write_text("no folder", encoding="utf-8")
    for _ in range(2):
        assert used(kernels.parent, tmp_path / "none", KERNELS) == (0, 8, None)
