"""Paragraphs and tables as Markdown and as LaTeX; both say the same, word by word."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from .cells import Text
from .latex_text import breakable, latex_text, width, words


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


NEEDS = r"\usepackage{tabularray}\UseTblrLibrary{booktabs}"
"""What a table needs in the preamble; with `LANDSCAPE` where a page is turned."""
UNTITLED = r"\SetTblrTemplate{firsthead,middlehead,lasthead,firstfoot,middlefoot,lastfoot}{empty}"
"""Neither a number nor a caption, as far as the group goes: a document that takes the table in has its own."""
LANDSCAPE = r"\usepackage{pdflscape}"
PAGES = ((False, "", 40.5), (False, r"\scriptsize", 43.2), (True, "", 64.6), (True, r"\scriptsize", 68.9))
"""Whether a page is turned, the size of type, and the em that the class article then leaves for a line."""
GAP = 0.75
"""Between two columns, in em: twice 3pt."""
SPACING = "colsep=3pt,rowsep=1pt,column{1}={leftsep=0pt},column{Z}={rightsep=0pt}"
BOLD = 1.17
"""How much wider bold type is."""


def latex(blocks: Iterable[Block]) -> str:
    """The blocks as a fragment for \\input, for pages of one column, at least as wide as those of the class article.

    Its first line names the packages that it needs. tabularray fits the columns, and breaks a table over pages.
    """
    text = "\n\n\\medskip\n".join(
        _latex_table(block) if isinstance(block, Table) else rf"\noindent {latex_text(block)}" for block in blocks
    )
    needed, untitled = (NEEDS, UNTITLED) if "{longtblr}" in text else ("", "")
    needed += LANDSCAPE if "{landscape}" in text else ""
    opening = f"% needs {needed}\n" if needed else ""
    return f"{opening}\\begingroup\\footnotesize\\sloppy{untitled}\n{text}\n\\par\\endgroup\n"


def _latex_table(table: Table) -> str:
    lines = [[(name,) for name in table.header], *table.lines]
    bold = {(place + 1, column) for place, column in table.bold}
    scores = {column for line in lines for column, text in enumerate(line) if any("[" in part for part in text)}
    stacked = scores if table.wide else set()
    header, *body = [
        " & ".join(_latex_cell(text, (place, column) in bold, column in stacked) for column, text in enumerate(line))
        + r" \\"
        for place, line in enumerate(lines)
    ]
    rooms, turned, size = _rooms(lines, bold, stacked)
    columns = "".join(f"X[-{room:.1f},{side}]" for room, side in zip(rooms, table.alignment, strict=True))
    count = len(table.header)
    title = rf"\SetCell[c={count}]{{l}} \textbf{{{latex_text(table.title)}}}" + "&" * (count - 1)
    parts = [
        rf"\begin{{longtblr}}[entry=none,label=none,presep=3pt,postsep=3pt]{{colspec={{{columns}}},hspan=minimal,",
        rf"rowhead={2 if table.title else 1},{SPACING}}}",
        *([rf"{title} \\"] if table.title else []),
        *("\\toprule", header, "\\midrule", *body, "\\bottomrule"),
        "\\end{longtblr}",
    ]
    if size:
        parts = [rf"\begingroup{size}", *parts, "\\par\\endgroup"]
    if turned:
        parts = ["\\begin{landscape}", *parts, "\\end{landscape}"]
    return "\n".join(parts)


def _rooms(
    lines: Sequence[Sequence[Text]], bold: Collection[tuple[int, int]], stacked: Collection[int]
) -> tuple[list[float], bool, str]:
    """The room for each column in em, whether the page is turned, and the size of type.

    Each column has room for its longest word or interval, which stay whole, and a share of what is left by the length
    of its texts. tabularray gives the others what a column has no use for.
    """
    whole, least = [0.0] * len(lines[0]), [0.0] * len(lines[0])
    for place, line in enumerate(lines):
        for column, text in enumerate(line):
            scale = BOLD if (place, column) in bold else 1.0
            for part in text if column in stacked else [", ".join(text)]:
                whole[column] = max(whole[column], scale * width(f"{part},"))
                pieces = (piece for word in words(f"{part},") for piece in word)
                least[column] = max([least[column], *(scale * width(piece) for piece in pieces)])
    gaps = GAP * (len(least) - 1)
    turned, size, room = next((page for page in PAGES if sum(least) + gaps <= page[-1]), PAGES[-1])
    share = max(room - gaps - sum(least), 0.0) / sum(whole)
    return [need + share * wanted for need, wanted in zip(least, whole, strict=True)], turned, size


def _latex_cell(text: Text, bold: bool, stacked: bool) -> str:
    parts = [part + ("," if place < len(text) - 1 else "") for place, part in enumerate(text)]
    shown = [breakable(part, bold and place == 0) for place, part in enumerate(parts)]
    if stacked and len(shown) > 1:
        return "{" + r" \\ ".join(shown) + "}"
    return " ".join(shown)
