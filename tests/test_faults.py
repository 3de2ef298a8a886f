"""The campaign of faults (`make faults`): what it does is what it says, and a few of its trials find nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(1, str(Path(__file__).parent / "faults"))
import corruption
import disk
import servers
from trials import Trial

needs_a_compiler = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("cc") is None, reason="disk errors need Linux and a C compiler"
)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["_checkpoint", "_encoded_text", "_archive"])
def test_trials_that_find_nothing(kind: str, seed: int, tmp_path: Path) -> None:
    one = Trial(seed, tmp_path)
    getattr(servers if kind == "_archive" else corruption, kind)(one)
    assert one.findings == []
    assert sum(one.counts.values()) >= 1


def test_a_seed_repeats_a_trial(tmp_path: Path) -> None:
    drawn = [corruption.damaged(Trial(3, tmp_path), bytes(range(200))) for _ in range(2)]
    assert drawn[0] == drawn[1] != bytes(range(200))


@needs_a_compiler
@pytest.mark.parametrize(("call", "short"), [(1, ""), (2, ""), (2, "1")])
def test_the_disk_refuses_when_it_is_told_to(call: int, short: str, tmp_path: Path) -> None:
    """The first call that it counts makes the file, the second writes to it; a short write does a half."""
    code = f"import os; f = os.open({str(tmp_path / 'a')!r}, os.O_CREAT | os.O_WRONLY); print(os.write(f, b'four'))"
    refusing = {"FAULTS_UNDER": str(tmp_path), "FAULTS_AT": str(call), "FAULTS_FOR": "1", "FAULTS_ERRNO": "28"}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LD_PRELOAD": disk.library(tmp_path.parent), "FAULTS_SHORT": short, **refusing},
        capture_output=True,
        text=True,
    )
    if short:
        assert (ended.stdout, ended.returncode) == ("2\n", 0)
    else:
        assert "No space left on device" in ended.stderr
