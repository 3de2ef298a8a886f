"""The figures within the page: each behind the table that it belongs to, those of other lengths behind all."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from ..figures import profile, score_cost, scores, speed_history, tested_lengths
from ..figures.panels import Evidence, NothingToDraw
from ..figures.saving import as_svg
from ..figures.style import COLUMN
from ..tables import cost_table
from ..tables.writers import Block, Table


class Picture(NamedTuple):
    """A figure within the page. source: a data URI. alt: what it shows in words. caption: how to read it.

    wide: whether it was drawn for more than a column of a paper.
    """

    source: str
    alt: str
    caption: str
    wide: bool = False


def pictures(below: Sequence[Block], evidence: Evidence, heading: str) -> dict[int, list[Picture]]:
    """Behind how many of the parts below the scores -> the figures that stand there.

    The performance profile follows the table over all tasks, scores against time the table of costs, each behind what
    is said of it, and figures of lengths that were never trained stand at the end. A figure is left out where the rows
    have nothing that it could show.
    """
    found: dict[int, list[Picture]] = {len(below): _beyond_training(evidence, heading)}
    for draw in (_profile, _cost):
        try:
            table, picture = draw(below, evidence, heading)
        except NothingToDraw:
            continue
        found.setdefault(table + 2, []).insert(0, picture)  # behind the table and the paragraph that explains it
    return found


def _profile(below: Sequence[Block], evidence: Evidence, heading: str) -> tuple[int, Picture]:
    shown = profile.found_in(evidence)
    # the table over all tasks has a line for each model of the profile, in its order, and no other one has
    models = [(model,) for model in shown.models]
    place = next(
        place
        for place, block in enumerate(below)
        if isinstance(block, Table) and [line[0] for line in block.lines] == models
    )
    source = _source(profile.draw(evidence, explained=False), evidence, f"{heading}: profile")
    return place, Picture(source, profile.said(shown), " ".join(profile.how_to_read(shown)))


def _cost(below: Sequence[Block], evidence: Evidence, heading: str) -> tuple[int, Picture]:
    figure = score_cost.draw(evidence, explained=False)
    place = next(
        place for place, block in enumerate(below) if isinstance(block, Table) and block.title == cost_table.TITLE
    )
    source = _source(figure, evidence, f"{heading}: score-cost")
    how = " ".join(score_cost.how_to_read(evidence))
    return place, Picture(source, score_cost.said(evidence), how, wide=figure.get_figwidth() > COLUMN)


def _beyond_training(evidence: Evidence, heading: str) -> list[Picture]:
    """Scores against lengths, and beside them against the size of the state: where runs are tested at other lengths."""
    try:
        lengths = tested_lengths.draw(evidence, explained=False)
    except NothingToDraw:
        return []
    pictures = [
        Picture(
            _source(lengths, evidence, f"{heading}: score-lengths"),
            tested_lengths.said(evidence),
            " ".join(tested_lengths.how_to_read(evidence)),
            wide=lengths.get_figwidth() > COLUMN,
        )
    ]
    try:
        state = scores.by_size(evidence, "state")
    except NothingToDraw:
        return pictures
    return [
        *pictures,
        Picture(
            _source(state, evidence, f"{heading}: score-state"),
            "Test scores of each model against the numbers in its state, a panel for each task",
            "Scores against how many numbers a model keeps from step to step. The table of scores has the scores.",
            wide=state.get_figwidth() > COLUMN,
        ),
    ]


def of_history(history: speed_history.History) -> Picture:
    """What a step has cost over the commits."""
    figure = speed_history.draw(history)
    source = image(figure, history.digest, f"{history.name}: steps over commits")
    caption = f"{speed_history.CAPTION} Machine: {history.name}."
    return Picture(source, speed_history.said(history), caption, wide=figure.get_figwidth() > COLUMN)


def _source(figure: Figure, evidence: Evidence, title: str) -> str:
    return image(figure, evidence.digest, title)


def image(figure: Figure, digest: str, title: str) -> str:
    """A figure as a data URI.

    As an image, because the style sheet and the ids of an SVG within the page would hold for all of the page.
    """
    svg = as_svg(figure, digest, title)
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
