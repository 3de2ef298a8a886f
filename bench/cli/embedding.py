"""The verb `embedding`: what a run has learned of words, as a map, by their neighbours, and held against people."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from .experiments import Dir, load
from .facts import Json, show_json
from .terminal import echo, standard_output
from .trained import network_of
from .writing import writing

if TYPE_CHECKING:
    from ..word_vectors import Agreement, WordVectors

SHOWN = 40
"""Words of a map where none are named."""
TABLED = 12
"""Words of which the neighbours are shown where none are named."""


def embedding(
    directory: Dir,
    run: Annotated[str, typer.Argument(help="The beginning of a run's id, or words of its label.")],
    words: Annotated[
        str | None, typer.Option(help="Words, with commas between them (default: the most frequent ones).")
    ] = None,
    neighbours: Annotated[int, typer.Option(min=1, help="How many neighbours of each word.")] = 5,
    tests: Annotated[
        bool, typer.Option("--tests", help="Hold similarities and analogies against people; the extra `embeddings`.")
    ] = False,
    skip_gram: Annotated[
        bool, typer.Option("--skip-gram", help="The same for skip-gram vectors that gensim trains on the same text.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="A folder for the map (default: the working area).")] = None,
    json: Json = False,
) -> None:
    """Draws the input embedding of a run on a text, and lists which words lie nearest to which.

    The map has the plane in which the vectors of these words differ most. The neighbours are those with the largest
    cosine in all dimensions. --tests prints Spearman's correlation with people's ratings of pairs (WordSim-353,
    SimLex-999) and the share of right analogies, each with how many of its questions the vocabulary covers. Where the
    parameters of the run are not here, it is trained again from its row.

    Example: seqbench embedding results/sentiment bag-of-embeddings --words good,bad,great,awful,film,movie
    """
    from .. import word_vectors
    from ..report.figures import embedding_map, saving
    from ..rows.store import Workplace
    from ..sampling import chosen_among

    experiment = load(directory)
    chosen = chosen_among(experiment, word_vectors.text_run(experiment.runs), run, "whose input is a text")
    network = network_of(experiment, chosen)
    task = chosen.make_task()
    found: dict[str, WordVectors] = {"embedding": word_vectors.of_network(network, task)}
    named = [word for word in (words or "").split(",") if word]
    shown = named or word_vectors.frequent(found["embedding"], SHOWN)
    if skip_gram:
        text = list(word_vectors.sentences(task, chosen.seed))
        found["skip-gram"] = word_vectors.skip_gram(text, found["embedding"].matrix.shape[1], chosen.seed)
    place = out or Workplace(experiment.folder).area
    report: dict[str, Any] = {"id": chosen.id, "run": str(chosen), "maps": [], "neighbours": {}, "tests": {}}
    for kind, vectors in found.items():
        points, share = word_vectors.projected(vectors, shown)
        title = f"{'Input embedding' if kind == 'embedding' else 'Skip-gram vectors of the same text'}: {chosen}"
        figure = embedding_map.draw(shown, points, share, vectors.matrix.shape[1], title)
        digest = hashlib.sha256(vectors.matrix.tobytes()).hexdigest()[:16]
        stem = place / ("embedding" if kind == "embedding" else "embedding-skip-gram")
        with writing(place, folder=True):
            report["maps"] += [str(path) for path in saving.save(figure, stem, digest, title, ("png", "svg"))]
        near = {word: word_vectors.neighbours(vectors, word, neighbours) for word in (named or shown[:TABLED])}
        report["neighbours"][kind] = near
        if tests:
            report["tests"][kind] = [vars(one) for one in word_vectors.agreements(vectors)]
        if not json:
            _print_neighbours(kind, near)
    if json:
        show_json(report)
        return
    if tests:
        _print_tests({kind: word_vectors.agreements(vectors) for kind, vectors in found.items()})
    for path in report["maps"]:
        echo(f"wrote {path}")


def _print_neighbours(kind: str, near: dict[str, list[tuple[str, float]]]) -> None:
    table = Table(title=f"Nearest by cosine: {kind}", title_justify="left")
    table.add_column("word")
    table.add_column("nearest")
    for word, others in near.items():
        table.add_row(word, ", ".join(f"{other} {cosine:.2f}" for other, cosine in others))
    standard_output().print(table)


def _print_tests(found: dict[str, list[Agreement]]) -> None:
    table = Table(title="Held against people", title_justify="left")
    for column in ("vectors", "questions", "measure", "value", "covered"):
        table.add_column(column)
    for kind, agreements in found.items():
        for one in agreements:
            value = f"{one.value:.3f}" if one.used else "–"
            table.add_row(kind, one.name, one.measure, value, f"{one.used:,} of {one.all:,}")
    standard_output().print(table)
