"""Paragraphs and tables as Markdown and as LaTeX; both say the same, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .cells import Text


@dataclass(frozen=True)
class Table:
    """A title, the columns' names, their alignment (l or r each), and the lines.

    wide: too wide for a page unless the parts of a text stand one below the other. bold: (line, column), counted from
    0, of the texts whose first part is bold.
    """

    title: str
    header: Sequence[str]
    alignment: str
    lines: Sequence[Sequence[Text]]
    wide: bool = False
    bold: frozenset[tuple[int, int]] = frozenset()


Block = str | Table
"""A paragraph or a table."""


def markdown(blocks: Iterable[Block]) -> str:
    """The blocks in GitHub's Markdown."""
    return (
        "\n\n".join(_markdown_table(block) if isinstance(block, Table) else _escaped(block) for block in blocks) + "\n"
    )


def _markdown_table(table: Table) -> str:
    lines = [[_escaped(name) for name in table.header]]
    lines += [
        [_markdown_text(text, (place, column) in table.bold) for column, text in enumerate(line)]
        for place, line in enumerate(table.lines)
    ]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(table.header))]
    rule = [
        "-" * (width - 1) + (":" if side == "r" else "-") for width, side in zip(widths, table.alignment, strict=True)
    ]
    padded = [
        [
            text.rjust(width) if side == "r" else text.ljust(width)
            for text, width, side in zip(line, widths, table.alignment, strict=True)
        ]
        for line in (lines[0], rule, *lines[1:])
    ]
    title = f"**{_escaped(table.title)}**\n\n" if table.title else ""
    return title + "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _markdown_text(text: Text, bold: bool) -> str:
    parts = [_escaped(part) for part in text]
    return ", ".join([f"**{parts[0]}**", *parts[1:]] if bold else parts)


def _escaped(text: str) -> str:
    return re.sub(r"([*|<\\])", r"\\\1", text)


LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "#$%&_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "*": "$^{*}$",
    "†": r"$^{\dagger}$",
    "‡": r"$^{\ddagger}$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "×": r"$\times$",
    "−": "$-$",
    "∞": r"$\infty$",
    "§": r"\S{}",
    "–": "--",
    "—": "---",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
}
POWER = re.compile(r"(?<![\w.])(\d(?:\.\d+)?)e(-?)0*(\d+)(?!\w)")


def latex_text(text: str) -> str:
    """A text that pdflatex sets as it is: special characters escaped, 4.39e-4 as a power of ten.

    >>> print(latex_text("4.39e-4 (50 % of a_b) ↓"))
    $4.39\\times10^{-4}$ (50 \\% of a\\_b) $\\downarrow$
    """
    plain = "".join(LATEX.get(sign, sign if ord(sign) < 0x180 else "?") for sign in text)
    return POWER.sub(r"$\1\\times10^{\2\3}$", plain)


def latex(blocks: Iterable[Block]) -> str:
    """The blocks as a fragment for \\input, for a text as wide as a page; it needs the package booktabs."""
    parts = [_latex_table(block) if isinstance(block, Table) else latex_text(block) for block in blocks]
    text = "\n\n\\medskip\\noindent\n".join(parts)
    opening = "% needs \\usepackage{booktabs}\n\\begingroup\\footnotesize\\setlength{\\tabcolsep}{3pt}\\noindent\n"
    return f"{opening}{text}\n\\par\\endgroup\n"


def _latex_table(table: Table) -> str:
    title = f"\\textbf{{{latex_text(table.title)}}}\n\n\\smallskip\\noindent\n" if table.title else ""
    cell = _stacked if table.wide else _side_by_side
    lines = [
        " & ".join(cell(text, (place, column) in table.bold) for column, text in enumerate(line))
        for place, line in enumerate(table.lines)
    ]
    parts = [
        f"\\begin{{tabular}}{{{table.alignment}}}",
        "\\toprule",
        " & ".join(cell((name,), False) for name in table.header) + r" \\",
        "\\midrule",
        (" \\\\\n\\addlinespace\n" if table.wide else " \\\\\n").join(lines) + r" \\",
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return title + "\n".join(parts)


def _side_by_side(text: Text, bold: bool) -> str:
    parts = [latex_text(part) for part in text]
    return ", ".join([_latex_bold(parts[0]), *parts[1:]] if bold else parts)


def _stacked(text: Text, bold: bool) -> str:
    """The text in short lines, broken between parts and before brackets."""
    lines: list[str] = []
    for place, part in enumerate(text):
        ending = "," if place < len(text) - 1 else ""
        short = [latex_text(line) for line in re.split(r"(?<=,) | (?=[(\[])|(?<=[^ ])(?=[(\[])", part + ending)]
        lines += map(_latex_bold, short) if bold and place == 0 else short
    if len(lines) == 1:
        return lines[0]
    return r"\begin{tabular}[t]{@{}l@{}}" + r" \\ ".join(map(_guarded, lines)) + r"\end{tabular}"


def _guarded(line: str) -> str:
    """A line that `\\\\` or the start of a table may stand before: a bracket would be taken for its option."""
    return f"{{}}{line}" if line.startswith("[") else line


def _latex_bold(text: str) -> str:
    return f"{{\\bfseries\\boldmath {text}}}"
