"""What a study of settings has found: the winners, what fewer trials would have found, and the ranks of the models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...analysis.digits import NO_NUMBER, number
from ...experiments.config import Experiment
from ...experiments.notation import written
from ...tuning import budgets
from ...tuning.selection import Searched, by_task
from .cells import Text, metric_title
from .writers import Block, Table

EDGE = "◁"
"""Behind a winner's value that lies at the edge of what was tried."""
WINNERS = "Winners"
EXPECTED = "Best validation score by number of trials"
RANKS = "Mean rank by number of trials"


def blocks(experiment: Experiment, found: Sequence[Searched]) -> list[Block]:
    """The study in paragraphs and tables; nothing where the experiment has none, or no trial has come to its end."""
    if experiment.tuning is None or not any(one.trials for one in found):
        return []
    return [
        how(experiment),
        _winners(found),
        *_edges(found),
        *_expected(found),
        *_ranks(found),
    ]


def how(experiment: Experiment) -> str:
    """How the settings were searched for, in one paragraph."""
    tuning = experiment.tuning
    assert tuning is not None  # `blocks` has asked
    space = "; ".join(f"{one.name} {one}" for one in tuning.space.values())
    seeds = ", ".join(map(str, tuning.seeds))
    rows = {
        f"on {cell.task} also {', '.join(f'{one.name} {one}' for one in more)}"
        for cell in experiment.cells
        if cell.plan is not None and (more := [one for one in cell.plan.shared if one.name not in tuning.space])
    }
    own = [
        f"{family}: {', '.join(f'{one.name} {one}' for one in additions.values())}"
        for family, additions in tuning.additions.items()
    ]
    beside = [*sorted(rows), *([f"beside it {'; '.join(own)}"] if own else [])]
    return (
        f"Study {experiment.study}: {tuning.trials} trials of each model on each task, drawn beforehand, the same for "
        f"all (a scrambled Sobol sequence, seed {tuning.draw}), with the tuning seed{'s' * (len(tuning.seeds) > 1)} "
        f"{seeds}. Space: {space}{'; ' * bool(beside)}{'; '.join(beside)}. The best on validation wins; its scores in "
        "the table of the experiment are of fresh seeds."
    )


def _winners(found: Sequence[Searched]) -> Table:
    """One line a model and task, one column a setting."""
    names = list(dict.fromkeys(one.name for each in found if each.cell.plan for one in each.cell.plan.dimensions))
    lines: list[list[Text]] = []
    for each in found:
        winner, plan = each.winner, each.cell.plan
        settings = {} if winner is None else winner.settings
        values = [
            (f"{written(settings[name])}{f' {EDGE}' * (name in each.edges)}",) if name in settings else (NO_NUMBER,)
            for name in names
        ]
        score = NO_NUMBER if winner is None else number(winner.score, each.metric.decimals)
        planned = 0 if plan is None else len(plan.trials)
        solved = sum(trial.solved == len(trial.rows) for trial in each.trials)
        solvable = any(metric.solved_at is not None for metric in each.task.metrics)
        lines.append(
            [
                tuple(each.cell.task.split(", ")),
                (each.label,),
                (f"{len(each.trials)}/{planned}",),
                (str(sum(trial.diverged for trial in each.trials)),),
                (str(solved) if solvable else NO_NUMBER,),
                (metric_title(each.metric),),
                (score,),
                *values,
            ]
        )
    header = ["Task", "Model", "Trials", "Diverged", "Solved", "Metric", "On validation", *names]
    return Table(WINNERS, header, "llrrrlr" + "r" * len(names), lines, wide=True)


def _edges(found: Sequence[Searched]) -> Iterator[str]:
    flagged = [f"{one.label} on {one.cell.task} ({', '.join(one.edges)})" for one in found if one.edges]
    if flagged:
        yield (
            f"{EDGE} At the edge: no trial has a value beyond, so a better one may lie outside of the space: "
            f"{'; '.join(flagged)}."
        )


def _expected(found: Sequence[Searched]) -> Iterator[Block]:
    """The expected best score of 1, 2, 4, … trials."""
    curves = [(one, points) for one in found if (points := budgets.curve(one))]
    if not curves:
        return
    counts = _counts(max(len(points) for _, points in curves))
    lines: list[list[Text]] = [
        [
            tuple(one.cell.task.split(", ")),
            (one.label,),
            (metric_title(one.metric),),
            *((number(points[count - 1].mean, one.metric.decimals),) for count in counts),
        ]
        for one, points in curves
    ]
    header = ["Task", "Model", "Metric", *(f"{count} trial{'s' * (count > 1)}" for count in counts)]
    yield Table(EXPECTED, header, "lll" + "r" * len(counts), lines, wide=True)
    yield (
        "The expected best score on validation of so many trials (Dodge et al. 2019; of errors the geometric mean): "
        "what a smaller budget would have found. A trial that diverged has the score of the floor, or the worst."
    )


def _ranks(found: Sequence[Searched]) -> Iterator[Block]:
    """The mean rank of each model over tasks, by number of trials."""
    ranks = budgets.mean_ranks(by_task(found))
    if not ranks.of_model:
        return
    counts = _counts(min(len(at) for at in ranks.of_model.values()))
    lines: list[list[Text]] = [
        [(model,), *((f"{at[count - 1]:.1f}",) for count in counts)]
        for model, at in sorted(ranks.of_model.items(), key=lambda item: item[1][counts[-1] - 1])
    ]
    header = ["Model", *(f"{count} trial{'s' * (count > 1)}" for count in counts)]
    yield Table(RANKS, header, "l" + "r" * len(counts), lines)
    left_out = f" Left out, with other models: {', '.join(ranks.left_out)}." if ranks.left_out else ""
    yield (
        f"Ranks by the expected best score on validation, 1 is the best; means over {len(ranks.tasks)} "
        f"task{'s' * (len(ranks.tasks) > 1)}.{left_out} One tuning seed says little of a rank: the table of the "
        "experiment compares fresh seeds."
    )


def _counts(most: int) -> list[int]:
    """1, 2, 4, … up to `most`."""
    return [1 << power for power in range(most.bit_length())]
