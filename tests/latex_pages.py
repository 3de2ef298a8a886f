"""What the LaTeX of a table holds, read back, and what pdflatex says of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from seqbench.bench.report.tables.latex_text import LATEX


def _has_tex() -> bool:
    """Whether pdflatex is there, with tabularray, and pdftotext to read its pages."""
    if None in map(shutil.which, ("pdflatex", "kpsewhich", "pdftotext")):
        return False
    return subprocess.run(["kpsewhich", "tabularray.sty"], capture_output=True).returncode == 0


NEEDS_TEX = pytest.mark.skipif(not _has_tex(), reason="pdflatex with tabularray, or pdftotext, is not there")
EDGE = 36
"""Points of a page beside which nothing stands: half of the margins that the pages here have."""
LAYOUT = re.compile(r"\\begin\{longtblr\}[^\n]*\n[^\n]*\n|(?<=\\SetCell)\[c=\d+\]\{l\}|\\penalty\\exhyphenpenalty ")


def content(latex: str) -> str:
    """LaTeX without the numbers of its layout."""
    return LAYOUT.sub("", latex)


def cells(latex: str) -> list[list[str]]:
    """The texts of all lines of tables, as they were before they were LaTeX."""
    lines = [line.removesuffix(r" \\") for line in content(latex).splitlines() if line.endswith(r" \\")]
    return [[_plain(cell) for cell in re.split(" & |^& ", line)] for line in lines if not line.startswith(r"\SetCell")]


def _plain(latex: str) -> str:
    text = re.sub(r"^\{(.*)\}$", r"\1", latex) if r" \\ " in latex else latex  # parts one below the other
    text = text.replace(r" \\ ", " ").replace("~", " ")
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


def colliding(folder: Path) -> list[tuple[str, str]]:
    """The words on the pages of a compiled table that lie on each other, or beyond the edge of the text.

    Its log does not say: tabularray also sets columns that are too narrow, in trying.
    """
    subprocess.run(["pdftotext", "-bbox", "table.pdf", "table.html"], cwd=folder, check=True, timeout=60)
    found = []
    for page in (folder / "table.html").read_text(encoding="utf-8").split("<page ")[1:]:
        sizes = [float(size) for size in re.findall(r'(?:width|height)="([\d.]+)"', page)[:2]]
        pattern = r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">(.*?)</word>'
        boxes = [(*map(float, one[:4]), one[4]) for one in re.findall(pattern, page)]
        turned = max((box[2] for box in boxes), default=0) > sizes[0]  # pdftotext turns the words, not the page
        across, down = reversed(sizes) if turned else sizes
        found += [(box[4], "edge") for box in boxes if box[2] > across - EDGE or box[3] > down]
        for place, (left, top, right, low, text) in enumerate(boxes):
            for other in boxes[place + 1 :]:
                sideways = min(right, other[2]) - max(left, other[0])
                upright = min(low, other[3]) - max(top, other[1])
                if sideways > 1 and upright > 0.6 * min(low - top, other[3] - other[1]):
                    found.append((text, other[4]))
    return found
