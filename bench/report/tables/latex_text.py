"""Texts for LaTeX: escaped, with their widths, and with the places where a narrow column may break them."""

from __future__ import annotations

import re

GREEK = {"µ": "mu", "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "η": "eta", "θ": "theta"}
GREEK |= {"κ": "kappa", "λ": "lambda", "μ": "mu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "varphi"}
MATH = {
    **{"<": "<", ">": ">", "|": "|", "*": "^{*}", "†": r"^{\dagger}", "‡": r"^{\ddagger}", "−": "-", "∞": r"\infty"},
    **{"↓": r"\downarrow", "↑": r"\uparrow", "→": r"\rightarrow", "←": r"\leftarrow", "≤": r"\leq", "≥": r"\geq"},
    **{"×": r"\times", "±": r"\pm", "·": r"\cdot", "≈": r"\approx", "≠": r"\neq", "²": "^{2}", "³": "^{3}"},
    **{sign: f"\\{name}" for sign, name in GREEK.items()},
}
LATEX = {
    **{sign: f"${name}$" for sign, name in MATH.items()},
    **{sign: f"\\{sign}" for sign in "#$%&_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "§": r"\S{}", "¶": r"\P{}"},
    **{"–": "--", "—": "---", "‘": "`", "’": "'", "“": "``", "”": "''", "…": r"\ldots{}", "\u00a0": "~"},
}
UNKNOWN = frozenset("«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ\u00ad")
"""Characters of the Latin blocks that pdflatex has no glyph for in its usual encoding."""

POWER = re.compile(r"(?<![\w.])(\d(?:\.\d+)?)e(-?)0*(\d+)(?!\w)")
SPACES = re.compile(r"(?<![≤≥]) (?![^\[\]]*\])(?![↑↓%])")
"""Spaces that a line may end at: not those of an interval, nor those between a number and its sign."""
INSIDE = re.compile(r"(?<=[^\s(\[])(?=[(\[])|(?<=[^\W\d][/-])(?=[^\W\d])")
"""Before brackets, and after slashes and hyphens between letters."""

WIDTHS = {
    **dict.fromkeys(" ijl.,:;'’|!I()[]", 0.34),
    **dict.fromkeys("frst", 0.4),
    **dict.fromkeys("mwABCDEFGHKLNOPQRSTUVXYZ&", 0.77),
    **dict.fromkeys("MW%", 0.98),
    **dict.fromkeys("=+<>−×≤≥", 0.8),
    **dict.fromkeys("↑↓‡†§¶*-–", 0.5),
    **dict.fromkeys("→←∞—…", 1.2),
}
"""Widths of characters in em, rounded up, in LaTeX's own font; all others are as wide as a digit or a letter."""
USUAL = 0.53


def latex_text(text: str) -> str:
    """A text that pdflatex sets as it is: special characters escaped, 4.39e-4 as a power of ten.

    A character that it has no glyph for is named by its number in Unicode.

    >>> print(latex_text("4.39e-4 (50 % of a_b) ↓ ☃"))
    $4.39\\times10^{-4}$ (50 \\% of a\\_b) $\\downarrow$ \\texttt{U+2603}
    """
    apart = re.split("(?<=-)(?=-)|(?<=`)(?=`)|(?<=')(?=')|(?<=[?!])(?=`)", text)  # pairs that TeX makes one sign of
    plain = "{}".join("".join(map(_latex_sign, part)) for part in apart)
    return POWER.sub(r"$\1\\times10^{\2\3}$", plain)


def _latex_sign(sign: str) -> str:
    return LATEX.get(sign) or (sign if _known(sign) else f"\\texttt{{U+{ord(sign):04X}}}")


def _known(sign: str) -> bool:
    return " " <= sign <= "~" or sign == "\n" or ("\u00a1" <= sign < "\u0180" and sign not in UNKNOWN)


def width(text: str) -> float:
    """About how wide a text is, in em."""
    shown = POWER.sub(r"\1 × 10−\3", text)
    return sum(WIDTHS.get(sign, USUAL if sign in LATEX or _known(sign) else 6 * USUAL) for sign in shown)


def words(text: str) -> list[list[str]]:
    """The words of a text, each as the pieces that it may be broken into."""
    return [INSIDE.split(word) for word in SPACES.split(text)]


def bold_text(text: str) -> str:
    """A text of LaTeX in bold, its formulas too."""
    return f"{{\\bfseries\\boldmath {text}}}"


def breakable(text: str, bold: bool) -> str:
    """A text for a column that may be narrow: it breaks between words, and inside them where it must.

    An interval stays whole.
    """
    shown = run = after = ""
    for word in words(text):
        for place, piece in enumerate(word):
            if place:  # TeX itself breaks after a hyphen, at this price
                after = "" if word[place - 1].endswith("-") else r"\penalty\exhyphenpenalty "
            if piece.startswith("["):
                shown += _run(run, bold) + after + rf"\mbox{{{_run(latex_text(piece), bold)}}}"
                run = ""
            else:
                run += after + latex_text(piece.replace(" ", "\u00a0"))
        after = " "
    return shown + _run(run, bold)


def _run(text: str, bold: bool) -> str:
    return bold_text(text) if bold and text else text
