"""Paragraphs and tables as Markdown and as LaTeX; both say the same, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .cells import Text
from .latex_columns import Columns, columns, hard_lines
from .latex_text import bold_text, breakable, latex_text


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


PREAMBLE = {"booktabs": "toprule", "array": "arraybackslash", "longtable": "{longtable}", "pdflscape": "{landscape}"}
"""The packages that a table may need, each with what tells that it does."""
PAGE = 30
"""Lines of type from which on a table may go over pages."""


def latex(blocks: Iterable[Block]) -> str:
    """The blocks as a fragment for \\input, for pages of one column, at least as wide as those of the class article.

    Its first line names the packages that it needs.
    """
    text = "\n\n\\medskip\n".join(
        _latex_table(block) if isinstance(block, Table) else rf"\noindent {latex_text(block)}" for block in blocks
    )
    needed = ", ".join(name for name, sign in PREAMBLE.items() if sign in text)
    lengths = r"\setlength{\tabcolsep}{3pt}"
    if "longtable" in needed:
        lengths += r"\setlength{\LTleft}{0pt}\setlength{\LTright}{\fill}"
        lengths += r"\setlength{\LTpre}{\smallskipamount}\setlength{\LTpost}{0pt}"
    opening = f"% needs \\usepackage{{{needed}}}\n" if needed else ""
    return f"{opening}\\begingroup\\footnotesize\\sloppy{lengths}\n{text}\n\\par\\endgroup\n"


def _latex_table(table: Table) -> str:
    lines = [[(name,) for name in table.header], *table.lines]
    bold = {(place + 1, column) for place, column in table.bold}
    found = columns(lines, table.alignment, bold, table.wide)
    header, *rows = [
        _guarded(
            " & ".join(_latex_cell(text, (place, column) in bold, found, column) for column, text in enumerate(line))
        )
        + r" \\"
        for place, line in enumerate(lines)
    ]
    tall = [height > 1 for height in found.heights[1:]]
    apart = [one or other for one, other in pairwise(tall)] + [False] * bool(tall)
    body = [row + ("\n\\addlinespace" if space else "") for row, space in zip(rows, apart, strict=True)]
    title = rf"\textbf{{{latex_text(table.title)}}}" if table.title else ""
    if sum(found.heights) > PAGE or found.setting.landscape:
        parts = [
            rf"\begin{{longtable}}{{{found.declared}}}",
            *([_title_above(title, len(table.header))] if title else []),
            *("\\toprule", header, "\\midrule", "\\endhead", "\\bottomrule", "\\endfoot", *body),
            "\\end{longtable}",
        ]
    else:
        parts = [
            *([rf"\noindent {title}\par\nobreak\smallskip"] if title else []),
            rf"\noindent\begin{{tabular}}{{{found.declared}}}",
            *("\\toprule", header, "\\midrule", *body, "\\bottomrule"),
            "\\end{tabular}",
        ]
    if found.setting.size:
        parts = [rf"\begingroup{found.setting.size}", *parts, "\\par\\endgroup"]
    if found.setting.landscape:
        parts = ["\\begin{landscape}", *parts, "\\end{landscape}"]
    return "\n".join(parts)


def _guarded(line: str) -> str:
    """A line that the end of the line before does not take for its option."""
    return "{}" + line if line.startswith("[") else line


def _title_above(title: str, count: int) -> str:
    """A title over `count` columns, on every page; it takes no width, or it would widen the last of them."""
    box = rf"\rlap{{\parbox[t]{{\linewidth}}{{\raggedright {title}}}}}"
    return rf"\multicolumn{{{count}}}{{@{{}}l@{{}}}}{{{box}}} \\"


def _latex_cell(text: Text, bold: bool, found: Columns, column: int) -> str:
    if not found.rooms:
        parts = [latex_text(part) for part in text]
        return ", ".join([bold_text(parts[0]), *parts[1:]] if bold else parts)
    shown = [
        breakable(part, bold and place == 0, found.rooms[column]) for place, part in enumerate(hard_lines(text, True))
    ]
    return (r" \newline " if column in found.stacked else " ").join(shown)
