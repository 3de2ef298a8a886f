"""The tables of models/README.md: every model stands there, and its formulas give what the suite counts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from seqbench.bench.experiments import registry
from seqbench.bench.experiments.notation import parse
from seqbench.models._block import Blocks
from seqbench.models.base import Model

README = Path(__file__).resolve().parent.parent / "models" / "README.md"
WIDTH, STEPS = 64, 256
ALL_ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in README.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| model", "| encoder-decoder"))
]
PAIRS = [row for row in ALL_ROWS if registry.find("model", row[0].partition("(")[0]).pairs]
ROWS = [row for row in ALL_ROWS if row not in PAIRS]
every_row = pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])


def made(text: str, layers: int) -> Any:
    """The model that a row names, of so many layers of `WIDTH` channels and features, without numbers."""
    found, options = registry.resolve("model", parse(text))
    depth = "levels" if "levels" in options else "layers"
    with torch.device("meta"):
        return found(WIDTH, **{**options, "width": WIDTH, depth: layers})


def value(formula: str, model: Model, text: str) -> float:
    """What a formula of the table gives for the letters that stand below it."""
    _, options = registry.resolve("model", parse(text))
    letters = {
        "W": WIDTH,
        "T": STEPS,
        "k": options.get("kernel", options.get("convolution", 0)),
        "d": getattr(model, "dilations", [4])[-1],
        "w": options.get("window", 0),
        "H": options.get("heads", 1),
        "E": options.get("expansion", 1) * WIDTH,
        "N": options.get("state", options.get("states", 0)),
        "R": WIDTH // 16,
        "I": round(8 * WIDTH / 3),
    }
    expression = formula.partition(",")[0].replace("²", "**2").replace("·", "*")
    assert re.fullmatch(r"[WTkdwHENRI0-9 +*/()-]+", expression), formula
    return float(eval(expression, {"__builtins__": {}}, letters))


def test_every_model_stands_in_the_table() -> None:
    assert {row[0].partition("(")[0] for row in ALL_ROWS} == set(registry.listing("model"))


@every_row
def test_parameters_are_those_of_the_formula(row: list[str]) -> None:
    text, formula, number, *_ = row
    model = made(text, 3)
    if isinstance(model, Blocks):
        counted = sum(part.numel() for part in model.blocks[0].mixer.parameters())
    else:
        own, less = (sum(part.numel() for part in net.parameters()) for net in (model, made(text, 2)))
        counted = own if formula.endswith("of all levels") else own - less
    assert counted == value(formula, model, text)
    assert number == f"{counted:,}"


@every_row
def test_state_is_that_of_the_formula(row: list[str]) -> None:
    text, _, _, formula, number, *_ = row
    model = made(text, 3)
    less = 0 if formula.endswith("of all layers") else made(text, 2).state_size_after(STEPS)
    counted = model.state_size_after(STEPS) - less
    if text == "trellisnet":  # beside the inputs, of which one more is kept for it
        counted -= WIDTH
    assert counted == value(formula, model, text)
    assert number == f"{counted:,}"


@pytest.mark.parametrize("row", PAIRS, ids=[row[0] for row in PAIRS])
def test_encoder_decoders_are_those_of_their_formulas(row: list[str]) -> None:
    text, formula, number, kept_formula, kept_number, *_ = row
    found, options = registry.resolve("model", parse(text))
    with torch.device("meta"):
        model: Any = found(9, 9, **{**options, "width": WIDTH})
    embeddings = sum(part.weight.numel() for part in (model.embed_source, model.embed_target))
    counted = sum(part.numel() for part in model.parameters()) - embeddings
    assert counted == value(formula, model, text)
    assert number == f"{counted:,}"
    kept = model.state_size_after(STEPS)
    assert kept == value(kept_formula, model, text)
    assert kept_number == f"{kept:,}"
