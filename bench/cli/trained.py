"""What a run has learned, for the verbs that show it: from its file, or trained again with its progress on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .live import Live
from .terminal import standard_output

if TYPE_CHECKING:
    from ...models.network import Network
    from ..engine.outcome import Progress
    from ..experiments.config import Experiment
    from ..experiments.runs import Run


def network_of(experiment: Experiment, run: Run) -> Network:
    """The network with what it has learned; where no parameters are here, the run is trained again, with progress."""
    from ..trained_runs import trained_or_again

    with Live(standard_output()) as live:
        live.begin(1, 0)

        def report(progress: Progress, steps: int) -> None:
            scores = progress.curve[-1]["valid"] if progress.curve else {}
            live.progress(run, progress.total_steps, steps, progress.epoch, scores)

        return trained_or_again(experiment, run, report)
