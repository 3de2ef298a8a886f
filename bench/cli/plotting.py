"""The verbs of figures: plot, unrolled and gradients."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .experiments import DeviceClass, Dir, load
from .terminal import echo
from .writing import writing

if TYPE_CHECKING:
    from ..rows.measurements import Flow
    from ..rows.store import Row, Workplace


def plot(
    directories: Annotated[
        list[str], typer.Argument(metavar="DIR…", help="Folders with an experiment.yaml; several are drawn as one.")
    ],
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this figure (again for more); see below.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for the files (default: the working area).")] = None,
    device: DeviceClass = None,
    working: Annotated[bool, typer.Option("--working", help="Only the rows that are not published yet.")] = False,
) -> None:
    """Draws the figures that the rows of an experiment give, each as PNG, SVG and PDF.

    overview: training loss and test score of every run; scores: with 95 % intervals, and the published numbers;
    score-parameters, score-state, score-cost: against parameters, state and the time of a run; learning-epochs,
    learning-time: validation scores with the band of the seeds; profile: the share of runs above each normalised score,
    over three tasks or more; lengths: solved runs against sequence length; score-lengths: test scores at lengths never
    trained; ranks: mean ranks of models that were tuned alike; gradients: what the verb `gradients` measured.

    Example: seqbench plot results/quick --only scores --out figures
    """
    from ..analysis.ledger import printed_scores
    from ..report.figures import drawing
    from ..report.figures.panels import pooled
    from ..rows.store import Workplace

    experiments = [load(directory) for directory in directories]
    if len(experiments) > 1 and out is None:
        raise UsageError("plot: several folders have no common place for their figures: name one with --out")
    places = [Workplace(experiment.folder) for experiment in experiments]
    rows = _rows(places, working)
    if not rows and only != ["gradients"]:
        named = " ".join(map(shlex.quote, directories))
        raise UsageError(f"{named}: there are no rows to draw; seqbench run {named} makes them")
    experiment = pooled(experiments) if len(experiments) > 1 else experiments[0]
    folder = out or places[0].area
    with writing(folder, folder=True):
        drawn = drawing.write(
            experiment, rows, folder, device, only or (), printed_scores(experiment), _measured(places)
        )
    for path in drawn.written:
        echo(f"wrote {path}")
    for name, reason in drawn.left_out.items():
        echo(f"no {name}: {reason}")


def unrolled(
    models: Annotated[list[str], typer.Argument(metavar="MODEL…", help="Models in the notation, such as rnn gru tcn.")],
    steps: Annotated[int, typer.Option(min=2, max=32, help="Steps of the sequence.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Other first weights.")] = 0,
    out: Annotated[Path, typer.Option(help="A folder for the files.")] = Path(),
) -> None:
    """Draws the unrolled graph of models: which inputs reach which features, found by the gradient.

    The models are small and not trained: what is seen is what their graphs let through. Writes unrolled.png and .svg.

    Example: seqbench unrolled rnn jordan bidirectional tcn --steps 6 --out figures
    """
    import hashlib

    from ..measuring.reach import reach
    from ..report.figures import saving
    from ..report.figures import unrolled as figure

    found = [reach(model, steps, seed) for model in models]
    digest = hashlib.sha256(b"".join(one.norms.tobytes() for one in found)).hexdigest()[:16]
    title = f"unrolled: {', '.join(models)}"
    with writing(out, folder=True):
        for path in saving.save(figure.draw(found), out / "unrolled", digest, title, ("png", "svg")):
            echo(f"wrote {path}")


def gradients(
    directory: Dir,
    task: Annotated[
        str | None, typer.Option(help="The beginning of a task's label (default: the experiment's first task).")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="These seeds instead of the experiment's: 0,1 or 0-4.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Train for so many steps, or to the end of the run.")] = 1000,
    examples: Annotated[int, typer.Option(min=1, help="Test examples that a norm is the mean of.")] = 32,
    out: Annotated[Path | None, typer.Option(help="A folder for the files (default: the working area).")] = None,
) -> None:
    """Measures how far back the loss reaches in each model, at initialisation and after a training, and draws it.

    The runs of the experiment on one task are trained again, for a few steps; their rows are neither needed nor
    touched. Writes gradients.csv, with its origin in the first line, and the figure. `publish` moves the measurements
    into the folder.

    Example: seqbench gradients results/quick --task copy --seeds 0
    """
    from ...tasks.datasets import DataError
    from ..measuring import gradient_flow
    from ..report.figures import drawing
    from ..rows import measurements
    from ..rows.store import Workplace

    experiment = load(directory, seeds)
    cells = gradient_flow.cells_of(experiment, task)
    place = Workplace(experiment.folder)
    file = (out or place.area) / measurements.FILE
    with writing(file.parent, folder=True):
        pass  # what is wrong with the place is said before the work
    started = datetime.now(UTC)
    try:
        flows = gradient_flow.measure(cells, steps, examples, _say)
    except DataError as error:
        raise UsageError(str(error)) from error
    rows = _rows([place], working=False)
    with writing(file.parent, folder=True):
        measurements.write(file, gradient_flow.origin_of(experiment, cells, started, examples), flows)
        echo(f"wrote {file}")
        for path in drawing.write(experiment, rows, file.parent, only=["gradients"], gradients=file).written:
            echo(f"wrote {path}")


def _say(flow: Flow) -> None:
    when = "at initialisation" if flow.moment == "initialisation" else f"after {flow.steps} steps"
    echo(f"{flow.run} {when}: {flow.norms[0]:.3g} one step back, {flow.norms[-1]:.3g} {len(flow.norms)} back")


def _rows(places: Sequence[Workplace], working: bool) -> list[Row]:
    return [row for place in places for row in place.rows("working" if working else "all")]


def _measured(places: Sequence[Workplace]) -> Path | None:
    """The newest file of measurements: what is in a working area goes before what is published."""
    from ..rows import measurements

    files = [folder / measurements.FILE for place in places for folder in (place.area, place.folder)]
    return next((file for file in files if file.is_file()), None)
