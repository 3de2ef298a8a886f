"""Files are written whole or not at all, and by one way."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest
from seqbench.bench import atomic

BENCH = Path(__file__).resolve().parent.parent / "bench"


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    for content, there in (("für\n", "für\n".encode()), (b"\r\n\xff", b"\r\n\xff")):
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
