"""The verb `sample`: what a language model has learned, to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from .experiments import Dir, load
from .facts import Json, show_json
from .terminal import echo, standard_output

if TYPE_CHECKING:
    from ..experiments.runs import Run

BAR = 30
"""Characters of the bar of a probability of 1."""


def sample(
    directory: Dir,
    run: Annotated[str, typer.Argument(help="The beginning of a run's id, or words of its label.")],
    prompt: Annotated[str, typer.Argument(help="The text to go on from.")],
    tokens: Annotated[int, typer.Option(min=1, help="How many symbols to write: words or characters.")] = 200,
    temperature: Annotated[
        float, typer.Option(min=0, help="Below 1 bolder in what is probable, above 1 wilder; 0: the most probable.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another text.")] = 0,
    following: Annotated[
        int | None, typer.Option("--next", min=1, help="Write nothing; list this many most probable next symbols.")
    ] = None,
    json: Json = False,
) -> None:
    """Writes text from what a run on a text has learned, symbol by symbol.

    It needs the parameters, which stand where the run was trained: in the working area, and not among published rows.

    --next shows what it expects after the prompt, as a table: each symbol with its probability.

    Example: seqbench sample results/quick 'ptb-char gru' 'the company said ' --tokens 200 --temperature 0.7
    """
    from .. import sampling

    experiment = load(directory)
    chosen = sampling.chosen(experiment, run)
    network = sampling.trained(experiment, chosen)
    if following is not None:
        _show_next(sampling.next_symbols(network, chosen.make_task(), prompt, following), prompt, chosen, json)
        return
    pieces = sampling.write(network, chosen.make_task(), prompt, tokens, temperature, seed)
    if json:
        show_json({"id": chosen.id, "run": str(chosen), "text": "".join(pieces)})
        return
    for piece in pieces:
        echo(piece, nl=False)
    echo("")


def _show_next(found: list[tuple[str, float]], prompt: str, run: Run, json: bool) -> None:
    """The most probable next symbols, each with a bar as long as it is probable."""
    if json:
        listed = [{"symbol": symbol, "probability": share} for symbol, share in found]
        show_json({"id": run.id, "run": str(run), "prompt": prompt, "next": listed})
        return
    table = Table(title=f"after {prompt!r}", title_justify="left")
    table.add_column("next")
    table.add_column("probability", justify="right")
    table.add_column("")
    for symbol, share in found:
        table.add_row(repr(symbol), f"{share:.3f}", "█" * round(BAR * share))
    standard_output().print(table)
