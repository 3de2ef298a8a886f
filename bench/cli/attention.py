"""The verb `attention`: where a trained encoder-decoder looks as it writes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from .experiments import Dir, load
from .facts import Json, show_json
from .terminal import echo
from .trained import network_of
from .writing import writing

FORMATS = ("png", "svg")


def attention(
    directory: Dir,
    run: Annotated[str, typer.Argument(help="The beginning of a run's id, or words of its label.")],
    source: Annotated[str, typer.Argument(help="The source that is to be read, as the task spells it.")],
    beam: Annotated[int, typer.Option(min=1, help="Hypotheses that decoding keeps; 1: greedy.")] = 1,
    out: Annotated[Path | None, typer.Option(help="A folder for the map (default: the working area).")] = None,
    json: Json = False,
) -> None:
    """Draws which symbols of a source a run looked at for each symbol that it wrote, and prints what it wrote.

    Where the parameters of the run are not here, it is trained again from its row, and they are kept. The weights of
    a Transformer are those of its last layer, the mean of its heads.

    Example: seqbench attention results/seq2seq 'date bahdanau' '5 march 2019'
    """
    from .. import attention_weights as attended
    from ..report.figures import attention_map, saving
    from ..rows.store import Workplace
    from ..sampling import chosen_among

    experiment = load(directory)
    pairs = attended.runs_of_pairs(experiment.runs)
    chosen = chosen_among(experiment, pairs, run, "of an encoder-decoder, and only such a one has a map")
    task = chosen.make_task()
    attended.ids_of(task, source)  # what is wrong is said before anything is trained
    attended.require_attention(chosen)
    place = out or Workplace(experiment.folder).area
    with writing(place, folder=True):
        pass
    found = attended.look(network_of(experiment, chosen), task, source, beam)
    title = f"Attention of {chosen} to {source!r}, of which it made {found.answer!r}"
    figure = attention_map.draw(found.source, found.target, found.weights, title)
    digest = hashlib.sha256(found.weights.tobytes()).hexdigest()[:16]
    with writing(place, folder=True):
        files = saving.save(figure, place / "attention", digest, title, FORMATS)
    if json:
        shown = {"source": found.source, "target": found.target, "answer": found.answer}
        told = {"id": chosen.id, "run": str(chosen), **shown, "weights": found.weights.tolist()}
        show_json({**told, "files": [str(path) for path in files]})
        return
    echo(f"{source} -> {found.answer}")
    echo(attention_map.said(found.source, found.target, found.weights))
    for path in files:
        echo(f"wrote {path}")
