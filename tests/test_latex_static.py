"""The LaTeX of every kind of table, read without TeX: groups and environments close, lines have a cell for each column.

`test_latex` compiles tables where pdflatex is there; this holds everywhere.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_rows import dirtied, made, write
from seqbench.bench.analysis.grid import collect
from seqbench.bench.analysis.ledger import of_results
from seqbench.bench.experiments import config
from seqbench.bench.experiments.registry import ROOT
from seqbench.bench.report.tables import experiment_table, ledger_table
from seqbench.bench.rows.store import Workplace

SETS = """
question: Which, at 50 % & 3 #s_of $a^b ~ {x}\\?
seeds: 4
rows:
- {task: jsb, reference: gru, models: [gru(width=4), lstm(width=4)]}
"""


def faults(latex: str) -> list[str]:
    """What TeX would stumble over."""
    found = []
    text = re.sub(r"(?m)^%.*$|\\\\|\\[#$%&_{}]", " ", latex.replace(r"\\", " \n"))
    depth = 0
    for sign in text:
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            break
    if depth:
        found.append("groups do not close")
    open_ones: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            open_ones.append(name)
        elif not open_ones or open_ones.pop() != name:
            found.append(f"{name} ends, which is not open")
    found += [f"{name} does not end" for name in open_ones]
    if text.count("$") % 2:
        found.append("a formula does not end")
    plain = re.sub(r"\$[^$]*\$", " ", text)
    found += [f"{sign} outside of a formula" for sign in "#_^" if sign in plain]
    found += [f"a character that TeX has not: {sign!r}" for sign in sorted({*text}) if ord(sign) > 0x17F]
    return found + [fault for table in tables(latex) for fault in _of_lines(*table)]


def tables(latex: str) -> list[tuple[str, str]]:
    """The columns and the lines of each table."""
    opened = r"\\begin\{longtblr\}\[[^\]]*\]\{colspec=\{([^{}]*)\},[^\n]*\n[^\n]*\n"
    parts = re.split(opened, latex)
    return [(parts[place], parts[place + 1].partition(r"\end{")[0]) for place in range(1, len(parts), 2)]


def _of_lines(columns: str, lines: str) -> list[str]:
    wanted, found = columns.count("X["), []
    for line in lines.splitlines():
        cells = 1 + len(re.findall(r"(?<!\\)&", line))
        if line.endswith(r" \\") and cells != wanted:
            found.append(f"{cells} cells in a line of {wanted} columns: {line.strip()[:80]}")
    return found


@pytest.mark.parametrize("name", ["bai2018-jsb", "quick"])
def test_published_tables(name: str) -> None:
    """Contrasts, power, costs, curves, assumptions: whatever these rows give."""
    experiment = config.load(ROOT / "results" / name)
    entries = collect(experiment, Workplace(experiment.folder).published.read())
    latex = experiment_table.table(entries, "latex", experiment.question)
    assert len(tables(latex)) > 2
    assert not faults(latex)


def test_the_ledger() -> None:
    latex = ledger_table.ledger(of_results(ROOT / "results"), "latex")
    assert tables(latex)
    assert not faults(latex)


def test_both_sets_of_instructions_and_a_hostile_question(tmp_path: Path) -> None:
    experiment = write(tmp_path / "results" / "x", SETS)
    rows = [made(run, 8.0 + 0.1 * run.seed) for run in experiment.runs]
    rows += [dirtied(made(run, 8.1 + 0.1 * run.seed), instructions="AVX512") for run in experiment.runs]
    latex = experiment_table.table(collect(experiment, rows), "latex", experiment.question)
    assert "AVX2 and AVX512" in latex
    assert not faults(latex)


@pytest.mark.parametrize(
    "bad",
    [
        r"{\bfseries x",
        r"a_b",
        "$x",
        "\\begin{longtblr}[label=none]{colspec={X[-1.0,l]X[-2.0,r]},\nrowhead=1}\na & b & c \\\\\n\\end{longtblr}",
        r"\begin{center} x \end{tabular}",
        "☃",
    ],
)
def test_faults_are_found(bad: str) -> None:
    assert faults(bad)
