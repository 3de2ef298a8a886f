"""Where the tasks' data come from: the table says of every task what the task itself says, and Croissant is valid."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import seqbench
from seqbench.bench import croissant
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import registry
from seqbench.bench.experiments.data_facts import TaskData, task_data
from seqbench.bench.experiments.notation import Spec
from seqbench.bench.experiments.options import options_of
from seqbench.bench.report.tables import data_table, writers

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "tasks" / "README.md"
REQUIRED = {"@context", "@type", "conformsTo", "description", "license", "name", "url", "creator", "datePublished"}
"""What Croissant asks of every data set."""
ALL = {one.task: one for one in task_data()}
SMALL = {
    name: str(Spec(name, {**registry.find("task", name).test_parameters, "train": 8, "valid": 4, "test": 3}))
    for name, one in ALL.items()
    if one.generated
}
"""Generated tasks, few examples of each."""


def test_every_task_has_its_data_described_once() -> None:
    assert sorted(one.task for one in task_data()) == sorted(registry.listing("task"))


@pytest.mark.parametrize("facts", ALL.values(), ids=ALL)
def test_the_facts_are_those_of_the_task(facts: TaskData) -> None:
    """The numbers of generated examples are the options' defaults; those of real data stand in
    the docstring of the task, or of one that shares its data."""
    task = registry.find("task", facts.task)
    assert facts.generated == (not task.remotes) == bool(facts.collection.spdx)
    if facts.generated:
        defaults = [options_of(task)[part].default for part in ("train", "valid", "test")]
        assert [list(sizes) for sizes in facts.sizes.values()] == [defaults]
        return
    together = [one.task for one in task_data() if one.collection == facts.collection]
    said = " ".join(" ".join(registry.find("task", name).__doc__ for name in together).split())
    for counts in facts.sizes.values():
        for count in counts:
            assert f"{count:,}" in said or f"{count / 1e6:g} million" in said, f"{count:,} is not in its docstring"


def test_collections_say_all_that_a_reader_asks() -> None:
    for one in task_data():
        of = one.collection
        assert all([of.title, of.origin, of.licence, of.redistribution, one.split, one.preprocessing, one.sizes])
        assert one.version >= 1


def test_the_page_of_the_tasks_has_the_table() -> None:
    """Where this fails: seqbench list --data --out tasks/README.md."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"{data_table.BEGIN}\n\n")
    table, end, _ = rest.partition(f"\n{data_table.END}")
    assert end
    assert table == writers.markdown(data_table.blocks(task_data()))


def test_the_table_names_every_checksum() -> None:
    text = writers.markdown(data_table.blocks(task_data()))
    for name in registry.listing("task"):
        for remote in registry.find("task", name).remotes:
            assert f"| {remote.filename}, from " in text
            assert remote.sha256 in text


def test_list_data() -> None:
    records = seqbench("list", "--data", "--json").json
    assert [record["task"] for record in records] == list(ALL)
    (jsb,) = [record for record in records if record["task"] == "jsb"]
    assert jsb["sizes"] == {"pieces": {"train": 229, "valid": 76, "test": 77}}
    assert [file["sha256"] for file in jsb["files"]] == [remote.sha256 for remote in ALL["jsb"].files]
    text = seqbench("list", "--data").out
    for name in ALL:
        assert name in text


def test_the_table_goes_between_its_marks_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n\n{data_table.BEGIN}\nold\n{data_table.END}\n\nAfter.\n", encoding="utf-8")
    assert seqbench("list", "--data", "--out", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("Before.\n\n<!--")
    assert text.endswith("-->\n\nAfter.\n")
    assert "\nold\n" not in text
    page.write_text("No marks.\n", encoding="utf-8")
    answer = seqbench("list", "--data", "--out", page)
    assert answer.code == 2
    assert "the file lacks them" in answer.err
    assert page.read_text(encoding="utf-8") == "No marks.\n"
    assert "--out is for --data" in seqbench("list", "--out", page).err


def described(folder: Path, task: str, seed: int = 0) -> dict[str, Any]:
    """The metadata that `export --croissant` writes beside the data."""
    answer = seqbench("export", task, "--seed", str(seed), "--out", folder / "data.npz", "--croissant", "--json")
    assert answer.json["croissant"] == str(folder / "data.croissant.json")
    found: dict[str, Any] = json.loads((folder / "data.croissant.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", SMALL)
def test_croissant_describes_the_file_that_was_written(name: str, tmp_path: Path) -> None:
    metadata = described(tmp_path, SMALL[name])
    assert set(metadata) >= REQUIRED
    assert metadata["version"] == f"{registry.find('task', name).version}.0.0"
    (file,) = metadata["distribution"]
    content = (tmp_path / file["contentUrl"]).read_bytes()
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert file["contentSize"] == f"{len(content)} B"
    fields = {
        field["source"]["extract"]["column"]: field for split in metadata["recordSet"] for field in split["field"]
    }
    with np.load(tmp_path / "data.npz") as arrays:
        assert set(fields) == set(arrays.files)
        for array_name, field in fields.items():
            shape = tuple(map(int, field["arrayShape"].split(","))) if "arrayShape" in field else ()
            assert shape == arrays[array_name].shape[1:]
            assert field["dataType"] == croissant.TYPES[arrays[array_name].dtype.kind]


def test_the_checksum_is_of_the_task_and_the_seed_alone(tmp_path: Path) -> None:
    """So that whoever exports again can hold the file to the metadata."""
    sums = []
    for number, seed in enumerate((3, 3, 4)):
        folder = tmp_path / str(number)
        folder.mkdir()
        sums.append(described(folder, SMALL["adding"], seed)["distribution"][0]["sha256"])
    assert sums[0] == sums[1] != sums[2]


@pytest.mark.skipif(importlib.util.find_spec("mlcroissant") is None, reason="the extra `croissant` is not installed")
@pytest.mark.parametrize("name", SMALL)
def test_croissant_is_valid_for_its_own_library(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    described(tmp_path, SMALL[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the library itself imports
        import mlcroissant

        dataset = mlcroissant.Dataset(jsonld=tmp_path / "data.croissant.json")  # raises where it is not valid
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    assert [split.id for split in dataset.metadata.record_sets] == ["train", "valid", "test"]
    assert "not standard" not in caplog.text


def test_real_data_are_not_described(tmp_path: Path) -> None:
    answer = seqbench("export", "jsb", "--out", tmp_path / "jsb.npz", "--croissant")
    assert answer.code == 2
    assert "not ours to describe; it is for generated tasks: adding, copy-memory, " in answer.err
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="have no description"):
        croissant.require_generated("my_task.py")


def test_the_date_is_that_of_the_release() -> None:
    assert f"date-released: {croissant.PUBLISHED}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
