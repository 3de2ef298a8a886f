"""What stands in the page as an image: the performance profile, and figures of lengths that were never trained."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from ..figures import profile, scores, tested_lengths
from ..figures.panels import Evidence, NothingToDraw
from ..figures.saving import as_svg
from ..tables.writers import Block, Table


class Picture(NamedTuple):
    """A figure within the page. source: a data URI. alt: what it shows in words. caption: how to read it."""

    source: str
    alt: str
    caption: str


def profile_among(below: Sequence[Block], evidence: Evidence, heading: str) -> tuple[int, Picture] | None:
    """The performance profile and its place: behind the table over all tasks and what is said of it."""
    try:
        found = profile.found_in(evidence)
    except NothingToDraw:
        return None
    # that table has a line for each model of the profile, in its order, and no other one has
    models = [(model,) for model in found.models]
    over_tasks = next(
        place
        for place, block in enumerate(below)
        if isinstance(block, Table) and [line[0] for line in block.lines] == models
    )
    source = _source(profile.draw(evidence, explained=False), evidence, f"{heading}: profile")
    return over_tasks + 2, Picture(source, profile.said(found), " ".join(profile.how_to_read(found)))


def beyond_training(evidence: Evidence, heading: str) -> list[Picture]:
    """Scores against lengths, and beside them against the size of the state: where runs are tested at other lengths."""
    try:
        lengths = tested_lengths.draw(evidence)
    except NothingToDraw:
        return []
    pictures = [
        Picture(
            _source(lengths, evidence, f"{heading}: score-lengths"),
            "Test scores of each model against the length of the sequences, a panel for each task",
            "Scores against the length of the sequences. The table of other lengths has the numbers.",
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
        ),
    ]


def _source(figure: Figure, evidence: Evidence, title: str) -> str:
    """A data URI: an image, because the style sheet and the ids of an SVG within the page would hold for all of it."""
    svg = as_svg(figure, evidence.digest, title)
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
