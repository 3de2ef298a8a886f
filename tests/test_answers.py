"""All answers written anew by one call: which folders, and the copies that the README has of their tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from made_rows import LONE, write
from seqbench.bench.evidence import answers, publishing
from seqbench.bench.experiments.config import Experiment

README = """Text.

<!-- The table is that of results/x/table.md; a test compares them. -->
| old |
| --- |

| another, which is no copy |
"""


def test_a_copy_is_the_first_table_of_its_file_and_nothing_else_changes(tmp_path: Path) -> None:
    (tmp_path / "results" / "x").mkdir(parents=True)
    (tmp_path / "results" / "x" / "table.md").write_text("Q\n\n| a |\n| - |\n| 1 |\n\n| b |\n", encoding="utf-8")
    wanted = README.replace("| old |\n| --- |\n", "| a |\n| - |\n| 1 |\n")
    assert answers.with_copies(README, tmp_path) == wanted
    assert answers.with_copies(wanted, tmp_path) == wanted
    (tmp_path / "results" / "x" / "table.md").write_text("none\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"table\.md: there is no table"):
        answers.with_copies(README, tmp_path)


def test_every_experiment_is_written_then_the_ledger_and_the_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("x", "y"):
        write(tmp_path / "results" / name, LONE)
    (tmp_path / "README.md").write_text(README, encoding="utf-8")

    def written(experiment: Experiment) -> Sequence[Path]:
        path = experiment.folder / publishing.TABLE
        path.write_text(f"| {experiment.name} |\n", encoding="utf-8")
        return [path]

    def ledger(results: Path) -> Sequence[Path]:
        (results / "ledger.md").write_text("ledger\n", encoding="utf-8")
        return [results / "ledger.md"]

    monkeypatch.setattr(publishing, "write_answers", written)
    monkeypatch.setattr(publishing, "write_ledger_and_figure", ledger)
    found = [
        path.relative_to(tmp_path).as_posix()
        for path in answers.write_all(tmp_path / "results", tmp_path / "README.md")
    ]
    assert found == ["results/x/table.md", "results/y/table.md", "results/ledger.md", "README.md"]
    assert "a test compares them. -->\n| x |\n" in (tmp_path / "README.md").read_text(encoding="utf-8")
