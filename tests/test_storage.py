"""What nodes share: whole files under names, checkpoints that follow a run from node to node, data fetched once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from experiments import wait_for
from seqbench.bench.errors import UsageError
from seqbench.bench.running import storage as storages
from seqbench.bench.running.backend import Assignment
from seqbench.tasks.datasets import Remote, cache_folder

fsspec = pytest.importorskip("fsspec")

Storage, NodeFiles = storages.Storage, storages.NodeFiles


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A storage in a folder, and one that only fsspec knows."""
    yield Storage(str(tmp_path / "shared") if request.param == "folder" else f"memory://{tmp_path.name}")
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()


def test_files_come_back_whole_and_can_be_replaced_and_removed(place: Any, tmp_path: Path) -> None:
    place.try_out()
    here, there = tmp_path / "here", tmp_path / "sub" / "there"
    assert not place.take("checkpoints/quick/a.pt", there)
    assert not there.exists()
    for content in (b"one", b"two" * 100_000):
        here.write_bytes(content)
        place.keep(here, "checkpoints/quick/a.pt")
        assert place.take("checkpoints/quick/a.pt", there)
        assert there.read_bytes() == content
    assert [path.name for path in there.parent.iterdir()] == ["there"]
    place.remove("checkpoints/quick/a.pt")
    place.remove("checkpoints/quick/a.pt")
    assert not place.has("checkpoints/quick/a.pt")


def test_an_upload_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, file = Storage(str(tmp_path / "shared")), tmp_path / "file"
    file.write_bytes(b"one")
    place.keep(file, "a")
    monkeypatch.setattr(place._files, "mv", full)
    file.write_bytes(b"two")
    with pytest.raises(OSError, match="No space left"):
        place.keep(file, "a")
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["a"]
    assert place.take("a", file)
    assert file.read_bytes() == b"one"


def full(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_place_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be used"):
        Storage(str(tmp_path / "file")).try_out()
    with pytest.raises(UsageError, match="--storage nothing://"):
        Storage("nothing://bucket/folder")


def assignment(area: Path) -> Assignment:
    """Of a run whose working area is on the driver."""
    return Assignment("7d9f", {}, "", area / "checkpoints" / "7d9f-cpu.pt", area / "trained" / "7d9f-cpu.pt")


def test_a_checkpoint_follows_its_run_to_another_node(
    place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storages, "LOOK_EVERY", 0.01)
    one, said = assignment(tmp_path / "runs" / "quick"), list[str]()
    first = NodeFiles(one, place, tmp_path / "node-1", said.append)
    file = first.files["checkpoint"]
    assert not file.exists()
    for content in (b"one", b"more"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        wait_for(lambda: stored(place) == content, "the checkpoint in the storage")  # noqa: B023
    second = NodeFiles(one, place, tmp_path / "node-2", said.append)  # the first node is gone without a word
    assert second.files["checkpoint"].read_bytes() == b"more"
    second.files["checkpoint"].write_bytes(b"last")
    second.close(finished=False)
    assert stored(place) == b"last", "what came last is brought too"
    third = NodeFiles(one, place, tmp_path / "node-1", said.append)
    assert third.files["checkpoint"].read_bytes() == b"last", "not what an earlier attempt left here"
    third.files["trained"].parent.mkdir(parents=True)
    third.files["trained"].write_bytes(b"weights")
    third.close(finished=True)
    assert not third.files["checkpoint"].exists()
    assert place.take("trained/quick/7d9f-cpu.pt", tmp_path / "weights")
    first.close(finished=True)
    assert said == []


def stored(place: Any) -> bytes | None:
    """What the storage has of the run's checkpoint."""
    name = place._at("checkpoints/quick/7d9f-cpu.pt")
    return bytes(place._files.cat_file(name)) if place._files.exists(name) else None


def test_without_a_stored_checkpoint_a_run_begins_anew(place: Any, tmp_path: Path) -> None:
    """As after --afresh: the driver has removed what was stored, and knows nothing of the disks of nodes."""
    left = tmp_path / "node" / "checkpoints" / "quick" / "7d9f-cpu.pt"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"old")
    files = NodeFiles(assignment(tmp_path / "runs" / "quick"), place, tmp_path / "node", lambda text: None)
    assert not files.files["checkpoint"].exists()
    files.close(finished=True)


def test_a_full_storage_is_said_once_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storages, "LOOK_EVERY", 0.01)
    place, said = Storage(str(tmp_path / "shared")), list[str]()
    monkeypatch.setattr(place._files, "put_file", full)
    files = NodeFiles(assignment(tmp_path / "runs" / "quick"), place, tmp_path / "node", said.append)
    file = files.files["checkpoint"]
    file.parent.mkdir(parents=True, exist_ok=True)
    for content in (b"one", b"three"):
        file.write_bytes(content)
        wait_for(lambda: said, "the complaint")
    files.close(finished=False)
    (text,) = said
    assert "No space left on device" in text
    assert file.read_bytes() == b"three", "the run goes on with its own file"


def test_a_slow_storage_holds_up_no_run_and_keeps_nothing_of_a_finished_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first upload is under way until the run has ended."""
    monkeypatch.setattr(storages, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(storages, "PATIENCE", 0.01)
    place, said = Storage(str(tmp_path / "shared")), list[str]()
    uploading, may_end = threading.Event(), threading.Event()

    def slow(file: Path, name: str) -> None:
        content = file.read_bytes()
        uploading.set()
        may_end.wait()
        (tmp_path / "shared" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shared" / name).write_bytes(content)

    monkeypatch.setattr(place, "keep", slow)
    files = NodeFiles(assignment(tmp_path / "runs" / "quick"), place, tmp_path / "node", said.append)
    file = files.files["checkpoint"]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"one")
    wait_for(uploading.is_set, "the upload")
    file.write_bytes(b"more")
    files.close(finished=True)
    assert stored(place) is None, "it was not waited for"
    assert files._thread is not None
    may_end.set()
    files._thread.join()
    assert stored(place) is None
    assert said == []


def test_data_are_fetched_from_the_storage_and_verified(
    place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, said = b"a tune", list[str]()
    good = Remote("music/tune", hashlib.sha256(content).hexdigest())
    bad = Remote("music/noise", hashlib.sha256(b"another").hexdigest())
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "driver"))
    for remote in (good, bad):
        file = cache_folder() / remote.filename
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    place.keep_data([good, bad, Remote("music/none", "0" * 64)])
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "node"))
    place.fetch_data([good, bad], said.append)
    assert (cache_folder() / good.filename).read_bytes() == content
    assert not (cache_folder() / bad.filename).exists()
    assert len(said) == 1
    assert "noise" in said[0]
    monkeypatch.setattr(place, "take", full)
    place.fetch_data([good], said.append)
    assert len(said) == 1, "a node that has it asks nobody"
