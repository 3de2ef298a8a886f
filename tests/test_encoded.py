"""Encoded texts in the cache: made once, whole, by the code of now, and made anew where anything is damaged."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import miniature
import numpy as np
import pytest
from experiments import PATIENCE
from seqbench.tasks import _encoded, _text, ptb_char, ptb_word
from seqbench.tasks.datasets import DataError, cache_folder


def words(text: str, size: int, **others: str) -> _text.Encoded:
    """A training text and others as words."""
    contents = {"train": text, **others}
    return _text.encode_words({name: _text.given(name, part.encode()) for name, part in contents.items()}, size)


def never() -> _text.Encoded:
    raise AssertionError("it is encoded again")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a text should be kept, in a new cache."""
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "cache"))
    return _encoded.folder_of("some-task", 1, {"a.txt": "0123"}, {"eos": "one"})


def test_what_is_kept_is_mapped_and_not_encoded_again(folder: Path) -> None:
    built = words("a b\n", 3, test="b\n")
    _encoded.kept(folder, lambda: built)
    again = _encoded.kept(folder, never)
    assert (again.symbols, again.files) == (built.symbols, built.files)
    assert {name: ids.tolist() for name, ids in again.texts.items()} == {"train": [0, 1, 2, 0], "test": [0, 2, 0]}
    assert all(isinstance(ids, np.memmap) for ids in again.texts.values())
    assert sorted(path.name for path in folder.iterdir()) == ["test.npy", "train.npy", "vocabulary.json"]


def test_a_vocabulary_is_parsed_once_and_again_where_it_is_another(folder: Path) -> None:
    _encoded.kept(folder, lambda: words("a b\n", 3))
    first = _encoded.kept(folder, never).symbols
    assert _encoded.kept(folder, never).symbols is first
    content = _encoded.read_json(folder / "vocabulary.json")
    (folder / "vocabulary.json").unlink()
    _encoded.write_json(folder / "vocabulary.json", {**content, "symbols": ["<eos>", "c", "d"]})
    assert _encoded.kept(folder, never).symbols == ["<eos>", "c", "d"]


def test_another_version_sum_or_option_is_another_folder(folder: Path) -> None:
    others = [
        _encoded.folder_of("some-task", 2, {"a.txt": "0123"}, {"eos": "one"}),
        _encoded.folder_of("some-task", 1, {"a.txt": "0124"}, {"eos": "one"}),
        _encoded.folder_of("some-task", 1, {"a.txt": "0123"}, {"eos": "spelled"}),
        _encoded.folder_of("other-task", 1, {"a.txt": "0123"}, {"eos": "one"}),
    ]
    assert len({folder, *others}) == 5
    assert folder == _encoded.folder_of("some-task", 1, {"a.txt": "0123"}, {"eos": "one"})
    assert ptb_char.Task().folder != ptb_char.Task(eos="spelled").folder
    same = [ptb_word.Task(), ptb_word.Task(context=3, train=9, held=9)]  # the text is encoded whole, whatever is taken
    assert len({task.folder for task in same}) == 1


@pytest.mark.parametrize("error", [DataError("bad text"), KeyboardInterrupt(), OSError("a disk that broke")])
def test_a_build_that_fails_leaves_nothing(folder: Path, error: BaseException) -> None:
    def build() -> _text.Encoded:
        raise error

    with pytest.raises(type(error)):
        _encoded.kept(folder, build)
    assert not [path for path in folder.parent.iterdir() if path.suffix != ".lock"]
    assert _encoded.kept(folder, lambda: words("a\n", 2)).symbols == ["<eos>", "a"]  # and the lock is free


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_nothing(folder: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    save = np.save

    def fails(file: io.BufferedWriter, ids: object, allow_pickle: bool) -> None:
        if "test" in file.name:
            raise error
        save(file, ids, allow_pickle=allow_pickle)  # type: ignore[arg-type]

    monkeypatch.setattr(np, "save", fails)
    monkeypatch.setattr(_encoded, "_in_memory", {})
    built = words("a b\n", 3, test="b\n")
    if isinstance(error, OSError):  # it goes on in memory, and does not encode for every load
        assert _encoded.kept(folder, lambda: built) is built
        assert _encoded.kept(folder, never) is built
    else:
        with pytest.raises(KeyboardInterrupt):
            _encoded.kept(folder, lambda: built)
    assert not [path for path in folder.parent.iterdir() if path.suffix != ".lock"]


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_encoded, "_in_memory", {})
    cache_folder().write_text("a file where the cache should be")
    built = words("a b\n", 3)
    assert _encoded.kept(folder, lambda: built) is built
    assert _encoded.kept(folder, never) is built


def test_what_a_killed_process_left_is_swept_up(folder: Path) -> None:
    abandoned = folder.with_name(f".0123.{folder.name}")
    abandoned.mkdir(parents=True)
    (abandoned / "train.npy").write_bytes(b"half of it")
    _encoded.kept(folder, lambda: words("a\n", 2))
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]


def flipped(content: bytes) -> bytes:
    """The content with one bit of its last third changed, which every reader of the format passes over."""
    place = 2 * len(content) // 3
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("damage", [flipped, lambda content: content[:-2], lambda content: b"", None])
@pytest.mark.parametrize("name", ["train.npy", "test.npy", "vocabulary.json"])
def test_what_is_damaged_is_made_anew(folder: Path, name: str, damage: Callable[[bytes], bytes] | None) -> None:
    """A bit of an id that flips is a text all the same, and would give another score without a word."""

    def build() -> _text.Encoded:
        return words("a b\n" * 100, 3, test="b\n" * 50)

    built = _encoded.kept(folder, build)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    if damage is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(damage(whole[name]))
        os.utime(folder / name, (0, 0))  # a disk's clock may be too coarse to tell so quick a change
    with pytest.raises(AssertionError, match="it is encoded again"):
        _encoded.kept(folder, never)
    again = _encoded.kept(folder, build)
    assert again.symbols == built.symbols
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert all(np.array_equal(again.texts[text], build().texts[text]) for text in ("train", "test"))
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]


def test_damage_in_a_cache_that_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_encoded, "_in_memory", {})
    _encoded.kept(folder, lambda: words("a b\n", 3))
    (folder / "train.npy").write_bytes(b"")
    monkeypatch.setattr(_encoded, "_write", lambda *arguments: False)
    built = words("a b\n", 3)
    assert _encoded.kept(folder, lambda: built) is built


def test_what_other_code_has_encoded_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else a row would say that it was made by this code, and its ids be those of the code before an edit."""
    there = {task: _encoded.code_of(task) for task in (ptb_char.Task, ptb_word.Task)}
    edited = tmp_path / "_text.py"
    text = Path(_text.__file__).read_text(encoding="utf-8")
    monkeypatch.setattr(_text, "__file__", str(edited))
    for other, same in ((f"# A comment.\n{text}", True), (text.replace("np.int32", "np.int64"), False)):
        edited.write_text(other, encoding="utf-8")
        _encoded.code_of.cache_clear()
        assert all((_encoded.code_of(task) == code) is same for task, code in there.items())
    _encoded.code_of.cache_clear()
    assert ptb_char.Task().folder != ptb_word.Task().folder


def test_a_baseline_that_is_damaged_is_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    miniature.install(tmp_path, monkeypatch)
    task = ptb_char.Task()
    found = task.yardsticks()
    (file,) = task.folder.glob("yardsticks-*.json")
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b'"unigram": ', b'"unigram": 1', 1))
    os.utime(file, (0, 0))
    assert task.yardsticks() == found
    assert file.read_bytes() == whole


def test_two_processes_at_once_encode_once(tmp_path: Path) -> None:
    """The first waits within its encoding until the second has come to the lock."""
    log, arrived = tmp_path / "log", tmp_path / "arrived"
    arrived.mkdir()
    code = (
        "import sys, time, pathlib, filelock\n"
        f"sys.path.insert(0, {str(Path(miniature.__file__).parent)!r}); import miniature\n"
        f"miniature.install(pathlib.Path({str(tmp_path)!r}))\n"
        "from seqbench.tasks import _text, ptb_word\n"
        f"log, arrived = pathlib.Path({str(log)!r}), pathlib.Path({str(arrived)!r})\n"
        "encode, lock = _text.encode_words, filelock.FileLock\n"
        "def together(*args):\n"
        "    log.open('a').write('encoded\\n')\n"
        "    while len([*arrived.iterdir()]) < 2: time.sleep(0.02)\n"
        "    return encode(*args)\n"
        "def locked(*args, **options):\n"
        "    (arrived / sys.argv[1]).touch()\n"
        "    return lock(*args, **options)\n"
        "_text.encode_words, filelock.FileLock = together, locked\n"
        "print(len(ptb_word.Task().text('train')))\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, name], stdout=subprocess.PIPE, text=True) for name in "ab"]
    try:
        printed = {process.communicate(timeout=PATIENCE)[0] for process in both}
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0]
    assert len(printed) == 1
    assert log.read_text() == "encoded\n"
    assert len([*(tmp_path / "cache" / "encoded").iterdir()]) == 2  # the folder and its lock
