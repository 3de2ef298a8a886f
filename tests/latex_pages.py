"""What the LaTeX of a table holds, read back, and what pdflatex says of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from seqbench.bench.report.tables.latex_text import LATEX

NEEDS_TEX = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not there")
LAYOUT = re.compile(
    r"\\setlength\{[^}]*\}\{[^}]*\}|p\{[\d.]+\\linewidth\}|\\multicolumn\{\d+\}|\\penalty\\exhyphenpenalty "
)


def content(latex: str) -> str:
    """LaTeX without the numbers of its layout."""
    return LAYOUT.sub("", latex)


def cells(latex: str) -> list[list[str]]:
    """The texts of all lines of tables, as they were before they were LaTeX."""
    lines = [line.removesuffix(r" \\") for line in content(latex).splitlines() if line.endswith(r" \\")]
    return [[_plain(cell) for cell in re.split(" & |^& ", line)] for line in lines if not line.startswith("{@{}l@{}}")]


def _plain(latex: str) -> str:
    text = latex.replace(r" \newline ", " ").replace("~", " ")
    text = re.sub(r"\$([\d.]+)\\times10\^\{(-?\d+)\}\$", r"\1e\2", text)
    text = re.sub(r"\{\\bfseries\\boldmath ([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\mbox\{([^{}]*)\}", r"\1", text)
    for sign, written in sorted(LATEX.items(), key=lambda pair: -len(pair[1])):
        text = text.replace(written, sign) if sign not in "\u00a0’‘" else text
    return text


def compiled(latex: str, folder: Path, geometry: str = "") -> str:
    """The log of pdflatex for a document that holds the text and loads what the text says that it needs.

    geometry: of its pages; without it they are those of the class article.
    """
    pages = f"\\usepackage[{geometry}]{{geometry}}" if geometry else ""
    needed = "\\usepackage{booktabs}" if not latex.startswith("% needs ") else latex.partition("\n")[0][8:]
    document = f"\\documentclass{{article}}{pages}{needed}\n\\begin{{document}}\n{latex}\\end{{document}}\n"
    (folder / "table.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    for _ in range(2):  # the second knows the widths of tables that go over pages
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, errors="replace")
        assert done.returncode == 0, done.stdout[-2000:]
    return (folder / "table.log").read_text(encoding="utf-8", errors="replace")


def overfull(log: str) -> list[str]:
    """What stands out of its line or page by more than 2 pt."""
    found = re.findall(r"Overfull \\[hv]box \((\d+)\.\d+pt too .*", log)
    return [points for points in found if int(points) >= 2]
