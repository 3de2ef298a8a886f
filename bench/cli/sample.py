"""The verb `sample`: what a language model has learned, to be read."""

from __future__ import annotations

from typing import Annotated

import typer

from .experiments import Dir, load
from .facts import Json, show_json
from .terminal import echo


def sample(
    directory: Dir,
    run: Annotated[str, typer.Argument(help="The beginning of a run's id, or words of its label.")],
    prompt: Annotated[str, typer.Argument(help="The text to go on from.")],
    tokens: Annotated[int, typer.Option(min=1, help="How many symbols to write: words or characters.")] = 200,
    temperature: Annotated[
        float, typer.Option(min=0, help="Below 1 bolder in what is probable, above 1 wilder; 0: the most probable.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another text.")] = 0,
    json: Json = False,
) -> None:
    """Writes text from what a run on a text has learned, symbol by symbol.

    It needs the parameters, which stand where the run was trained: in the working area, and not among published rows.

    Example: seqbench sample results/quick 'ptb-char gru' 'the company said ' --tokens 200 --temperature 0.7
    """
    from .. import sampling

    experiment = load(directory)
    chosen = sampling.chosen(experiment, run)
    network = sampling.trained(experiment, chosen)
    pieces = sampling.write(network, chosen.make_task(), prompt, tokens, temperature, seed)
    if json:
        show_json({"id": chosen.id, "run": str(chosen), "text": "".join(pieces)})
        return
    for piece in pieces:
        echo(piece, nl=False)
    echo("")
