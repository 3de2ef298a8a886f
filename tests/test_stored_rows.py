"""A row that was read keeps its line: it is copied as it is, its checksum is of it, and the row does not change."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import made_rows
import pytest
from seqbench.bench.rows.store import Row, RowFile, signed, untouched


@pytest.fixture
def row(tmp_path: Path) -> Row:
    return made_rows.made(made_rows.write(tmp_path / "x", made_rows.LONE).runs[0], score=0.00001)


@pytest.fixture
def file(tmp_path: Path) -> RowFile:
    return RowFile(tmp_path / "runs.jsonl")


def test_lines_are_copied_with_all_that_they_say(row: Row, file: RowFile) -> None:
    """Also numbers that an encoder would write in another way, keys of a later version, and spaces."""
    text = json.dumps(signed({**row, "later": {"energy": [1e22, 5]}}), sort_keys=True)
    assert "1e-05" in text
    line = text.replace("1e-05", "0.00001").encode() + b"\n"
    file.path.write_bytes(line)
    (read,) = file.read()
    assert "later" not in read
    file.replace([read])
    assert file.path.read_bytes() == line
    assert not untouched(read), "the checksum is of the line as it was written"


def test_a_line_edited_by_hand_is_found_out(row: Row, file: RowFile) -> None:
    file.append(row)
    assert untouched(file.read()[0])
    file.path.write_bytes(file.path.read_bytes().replace(b"1e-05", b"2e-05"))
    assert not untouched(file.read()[0])


CHANGES: dict[str, Callable[[Row], object]] = {
    "update": lambda row: row.update(label="other"),
    "pop": lambda row: row.pop("label"),
    "clear": lambda row: row.clear(),
    "set": lambda row: row.__setitem__("label", "other"),
    "delete": lambda row: row.__delitem__("label"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_stored_row_does_not_change(change: Callable[[Row], object], row: Row, file: RowFile) -> None:
    stored = file.append(row)
    with pytest.raises(TypeError, match="a stored row does not change"):
        change(stored)
    assert stored == file.read()[0]


def test_a_copy_of_it_is_a_plain_row(row: Row, file: RowFile) -> None:
    stored = file.append(row)
    plain = copy.deepcopy(stored)
    plain["label"] = "other"
    assert (stored["label"], untouched(stored), untouched(plain)) == (row["label"], True, False)
    assert untouched(signed(plain))
