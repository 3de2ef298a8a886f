"""Files of numbers that code of a user's own opens stand in the row with their checksums, and make it stale."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from experiments import reasons, rows_of, sweep_in, write
from made_rows import made, misshapen
from seqbench.bench.experiments import config
from seqbench.bench.rows.comparing import differences
from seqbench.bench.rows.renewals import staleness
from test_own_files import ONE, net

pytestmark = pytest.mark.usefixtures("forgotten")


def weights_in(folder: Path, keep: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "keep.npy", np.array([keep]))
    return folder / "keep.npy"


def checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


READERS = {
    "numpy": "import numpy\nKEEP = float(numpy.load({path})[0])",
    "mapped": "import numpy\nKEEP = float(numpy.load({path}, mmap_mode='r')[0])",
    "bytes": "from pathlib import Path\nKEEP = len(Path({path}).read_bytes()) / 1000",
    "descriptor": "import os\nKEEP = os.read(os.open({path}, os.O_RDONLY), 5)[0] / 1000",
    "a neighbour": "from cells import KEEP",
}


@pytest.mark.parametrize("reader", READERS)
def test_what_is_read_is_in_the_row_and_another_content_makes_it_stale(tmp_path: Path, reader: str) -> None:
    folder = tmp_path / "mine"
    file = weights_in(folder / "models", 0.5)
    here = "__import__('os').path.join(__import__('os').path.dirname(__file__), 'models', 'keep.npy')"
    texts = {name: text.format(path=here) for name, text in READERS.items()}
    write(folder, ONE, net=net(texts[reader]), cells=texts["numpy"])
    sweep_in(folder)
    (row,) = rows_of(folder)
    assert row["status"] == "done", row["error"]
    assert row["provenance"]["read"] == {"./models/keep.npy": checksum(file)}
    assert misshapen(row) == ""
    assert reasons(folder) == ["finished"]
    weights_in(folder / "models", 0.25)
    run = config.load(folder).runs[0]
    assert str(staleness(row, run)) == "stale: ./models/keep.npy changed since"
    file.unlink()
    assert staleness(row, run) is None, "it may be of another machine"


def test_other_files_are_not_the_users_numbers(tmp_path: Path) -> None:
    """What is written, what is opened without code of the user's, code, and what Python itself reads."""
    text = "import os\nKEEP = 0.5\nopen(os.path.join(os.path.dirname(__file__), 'said.txt'), 'w').close()\n"
    text += "open(os.devnull).close()\nopen('/proc/self/stat').close()\nopen(__file__).close()"
    folder = write(tmp_path / "mine", ONE, net=net(text))
    sweep_in(folder)
    assert (folder / "said.txt").exists()
    assert "read" not in rows_of(folder)[0]["provenance"]


def test_a_file_from_elsewhere_is_named_by_its_whole_path(tmp_path: Path) -> None:
    file = weights_in(tmp_path / "elsewhere", 0.5)
    folder = write(tmp_path / "mine", ONE, net=net(READERS["numpy"].format(path=repr(str(file)))))
    sweep_in(folder)
    assert rows_of(folder)[0]["provenance"]["read"] == {file.as_posix(): checksum(file)}


def test_other_numbers_are_other_data_for_verify(tmp_path: Path) -> None:
    run = config.load(write(tmp_path / "mine", ONE, net=net("KEEP = 0.5"))).runs[0]
    one, moved, other = (
        (row := made(run)) | {"provenance": row["provenance"] | {"read": read}}
        for read in ({"./a.npy": "1"}, {"/b/a.npy": "1"}, {"./a.npy": "2"})
    )
    assert "provenance.read" not in str(differences(one, moved))
    assert "provenance.read" in str(differences(one, other))
