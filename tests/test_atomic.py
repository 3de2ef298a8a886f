"""Files are written whole or not at all, and by one way."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from seqbench.bench import atomic, locks
from seqbench.bench.engine.checkpoint import Checkpoint
from seqbench.bench.rows.store import Workplace

BENCH = Path(__file__).resolve().parent.parent / "bench"


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    for content, there in (("für\n", "für\n".encode()), (b"\r\n\xff", b"\r\n\xff"), ("a\ud800", b"a\\ud800")):
        atomic.write(path, content)
        assert path.read_bytes() == there
    assert [one.name for one in tmp_path.iterdir()] == ["table.md"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_error_leaves_what_was_there(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    atomic.write(path, "before")

    def broken() -> None:
        with atomic.replacing(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        broken()
    assert path.read_text(encoding="utf-8") == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["table.md"]


def test_all_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a loss of power could leave the name without the content; and the name itself is flushed after that."""
    path, steps = tmp_path / "table.md", list[str]()
    flush, rename = os.fsync, Path.replace

    def fsync(number: int) -> None:
        steps.append("folder" if os.path.isdir(f"/proc/self/fd/{number}") else "content")
        flush(number)

    def replace(self: Path, target: Path) -> Path:
        steps.append("name")
        assert self.read_text(encoding="utf-8") == "all"
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    atomic.write(path, "all")
    assert steps == ["content", "name", "folder"]


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "link.md", tmp_path / "there" / "table.md"
    link.symlink_to(target)
    for content in ("first", "second"):
        atomic.write(link, content)
        assert link.is_symlink()
        assert target.read_text(encoding="utf-8") == content
    reading, writing = os.pipe()
    atomic.write(Path(f"/dev/fd/{writing}"), "through")
    assert os.read(reading, 100) == b"through"
    os.close(reading)
    os.close(writing)


def test_a_new_file_has_the_rights_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    atomic.write(tmp_path / "table.md", "all")
    assert (tmp_path / "table.md").stat().st_mode == (tmp_path / "plain").stat().st_mode


OTHERWISE = {
    "atomic.py": "it is the way",
    "rows/store.py": "rows are appended, and a torn line is cut off",
    "measuring/helper.py": "it tells the system to count a peak anew",
    "measuring/throughput.py": "an experiment in a temporary folder",
    "speed/cluster_load.py": "experiments in a temporary folder",
    "speed/cluster_overhead.py": "experiments in a temporary folder",
    "speed/many_rows.py": "an experiment in a temporary folder",
    "speed/start_up.py": "an experiment in a temporary folder",
    "speed/text.py": "files in a temporary folder",
}


def test_bench_writes_files_in_no_other_way() -> None:
    """By a call of these names on what may be a path, or an `open` for writing."""
    found = set()
    for path in BENCH.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                modes = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                opens = node.func.attr == "open" and any(mode[:1] in "wax" and len(mode) < 4 for mode in modes)
                if node.func.attr in ("write_text", "write_bytes", "fsync") or opens:
                    found.add(path.relative_to(BENCH).as_posix())
    assert found == set(OTHERWISE)


def ended_process() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    """Not what another process may still write, nor what is named otherwise."""
    ended, here = ended_process(), os.getpid()
    own = f"{atomic.MACHINE}-{ended}-0123abcd.tmp"
    elsewhere = f".run.pt.{atomic.MACHINE}x-{ended}-0123abcd.tmp"  # of another machine, in a shared folder
    left = [f".run.pt.{own}", f".run.pt.{atomic.MACHINE}-{here}-0123abcd.tmp", f".other.{own}", ".my.tmp", elsewhere]
    for name in left:
        (tmp_path / name).touch()
    atomic.remove_abandoned(tmp_path, "run.pt")
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(left[1:])
    atomic.remove_abandoned(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([left[1], *left[3:]])
    atomic.remove_abandoned(tmp_path / "none")


def test_the_next_holder_removes_what_killed_ones_left(tmp_path: Path) -> None:
    """Half-written checkpoints, which may be gigabytes, and locks that nobody holds; what is held stays."""
    place, name = Workplace(tmp_path / "results" / "mine"), f".run.pt.{atomic.MACHINE}-{ended_process()}-0123abcd.tmp"
    folder = place.checkpoint("run", "cpu").parent
    folder.mkdir(parents=True)
    for path in (place.area / name, folder / name, folder / "old.pt.lock", place.area / "lock"):
        path.touch()
    with Checkpoint(place.checkpoint("run", "cpu")), place.held():
        assert [path.name for path in folder.iterdir()] == ["run-cpu.pt.lock"]
        assert sorted(path.name for path in place.area.iterdir()) == ["checkpoints", "lock"]
    assert [*place.area.rglob("*")] == [folder]
    (folder / name).touch()
    with Checkpoint(folder / "run.pt"):
        assert [path.name for path in folder.iterdir()] == ["run.pt.lock"]


def test_a_lock_is_held_by_one_though_its_file_goes(tmp_path: Path) -> None:
    """Whoever waits for it holds the file that is there then."""
    order, began = [], threading.Event()

    def second() -> None:
        began.set()
        with locks.held(tmp_path / "lock", 30.0):
            order.append((tmp_path / "lock").exists())

    waiting = threading.Thread(target=second)
    with locks.held(tmp_path / "lock"):
        waiting.start()
        began.wait()
        order.append("first")
    waiting.join()
    assert order == ["first", True]
    assert [*tmp_path.iterdir()] == []
