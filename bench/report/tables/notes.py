"""The lines below a table: how its numbers are made, which differences count, and what its rows are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...analysis.grid import Entry
from ...analysis.overall import FEWEST_RUNS, Overall, too_few_runs
from ...analysis.samples import FEWEST
from ...analysis.standing import Standing

Lines = Mapping[tuple[str, str], Standing]
"""(task, metric) -> the standing of that line of the table."""


def plan(entries: Sequence[Entry]) -> list[str]:
    """What the experiment said before its runs: what each outcome decides, and which model others are compared with."""
    texts = [f"What the outcome decides: {text}" for text in dict.fromkeys(one.decides for one in entries) if text]
    tasks_of: dict[str, dict[str, None]] = {}
    for entry in entries:
        if entry.reference is not None:
            tasks_of.setdefault(entry.reference, {})[entry.task] = None
    if tasks_of:
        everywhere = len(tasks_of) == 1 and {one.task for one in entries} == set(*tasks_of.values())
        named = [model if everywhere else f"{model} on {', '.join(tasks)}" for model, tasks in tasks_of.items()]
        texts.append(f"Planned contrasts compare each model with: {'; '.join(named)}.")
    return texts


def disclosures(entries: Iterable[Entry]) -> list[str]:
    """What the rows of the experiment say of their data and training, each once, with the tasks that it is said of."""
    tasks_of: dict[str, dict[str, None]] = {}
    for entry in entries:
        if entry.note:
            tasks_of.setdefault(entry.note, {})[entry.task] = None
    return [f"{', '.join(tasks)}: {note}" for note, tasks in tasks_of.items()]


def methods(entries: Sequence[Entry]) -> list[str]:
    """How the numbers of the cells are made, of those kinds that the table has."""
    shown = [entry for entry in entries if entry.done]
    plain = [summary for entry in shown if entry.solved is None and (summary := entry.summary)]
    solved = [summary for entry in shown if entry.solved is not None and (summary := entry.summary_of_solved)]
    geometric = any(summary.logarithmic for summary in [*plain, *solved])
    parts = []
    if plain:
        few = " (of one or two seeds the scores themselves)" if any(entry.done < FEWEST for entry in shown) else ""
        parts.append(f"Cells: the mean of n seeds [its 95 % interval by Student’s t]{few}")
    if any(entry.solved is not None for entry in entries if entry.finished):
        parts.append(
            "Where a task can be solved: how many of the runs that ended solved it [Wilson’s 95 % interval] and the "
            "median of all scores"
            + ("; of the solved ones the mean [interval] and the median of the steps that they took" if solved else "")
        )
    if geometric:
        parts.append(
            "Means of errors are geometric and their intervals made on the log scale, because errors are positive and "
            "vary by factors"
        )
    return [". ".join(parts) + "."] if parts else []


def comparisons(lines: Lines, entries: Iterable[Entry]) -> list[str]:
    """What bold means, where nothing is bold and why, and which cells took no part."""
    texts = []
    solvable = {(entry.task, entry.metric.name) for entry in entries if entry.metric.solved_at is not None}
    bold = [place for place, standing in lines.items() if standing.bold]
    if any(lines[place].planned for place in bold):
        texts.append(
            "Bold: the models that a planned contrast finds better than their reference; where there are none, the "
            "reference and every model that is not found worse."
        )
    if of_pairs := [place for place in bold if not lines[place].planned]:
        tests = []
        if any(place not in solvable for place in of_pairs):
            tests.append("a difference of means counts where the exact permutation test and Welch’s both find it")
        if any(place in solvable for place in of_pairs):
            tests.append("a difference of solved runs where Fisher’s exact test does")
        where = " where no reference is named" if len(of_pairs) < len(bold) else ""
        texts.append(
            f"Bold{where}: the best of a row and every model that is not separated from it: "
            f"{', '.join(tests)} (two-sided, 0.05, Holm-corrected over all pairs of the row)."
        )
    compared = sum(bool(standing.bold or standing.why) for standing in lines.values())
    reasons: dict[str, list[str]] = {}
    for (task, metric), standing in lines.items():
        if standing.why:
            reasons.setdefault(standing.why, []).append(f"{task} {metric}")
    for why, places in reasons.items():
        where = f" in {'; '.join(places)}" if len(places) < compared else ""
        texts.append(f"Nothing is bold{where}: {why}.")
    left_out = [
        f"{model} in {task} {metric} ({reason})"
        for (task, metric), standing in lines.items()
        if not standing.why
        for model, reason in standing.left_out.items()
    ]
    if left_out:
        texts.append(f"Not compared, so never bold: {'; '.join(left_out)}.")
    return texts


def remarks(entries: Iterable[Entry]) -> list[str]:
    """What the rows' own remarks say, each once."""
    return list(dict.fromkeys(remark for entry in entries for remark in entry.remarks))


def counted(counts: Iterable[int]) -> str:
    """How many runs the models have on each task.

    >>> counted([1, 1]), counted([3, 5, 4])
    ('n=1 run a task and model', 'n=3 to 5 runs a task and model')
    """
    counts = [*counts]
    fewest, most = min(counts), max(counts)
    runs = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"n={runs} {'run' if runs == '1' else 'runs'} a task and model"


def no_overall(entries: Sequence[Entry]) -> list[str]:
    """Why there are no numbers over all tasks, where only the number of runs forbids them."""
    fewest = too_few_runs(entries)
    if fewest is None:
        return []
    runs = "1 run" if fewest == 1 else f"{fewest} runs"
    needed = f"these need {FEWEST_RUNS} runs of each model on each task, and the fewest is {runs}"
    return [f"No numbers over all tasks: {needed}."]


def of_overall(found: Overall) -> str:
    """How the aggregates over tasks are made."""
    left_out = f" Left out: {', '.join(found.left_out)}." if found.left_out else ""
    interval = "95 % intervals by the stratified bootstrap over runs, too narrow for few of them"
    return (
        f"Interquartile mean of normalised scores, and the probability that a run is better than one of {found.first} "
        f"on the same task (Agarwal et al. 2021), over {'; '.join(found.tasks)}; "
        f"{counted(count for line in found.lines for count in line.runs)}; {interval}. "
        "Normalised: 0 is the floor, 1 the score that solves the task, else the best model’s mean; perplexities by "
        f"their logarithms; a run that diverged is at the floor and the worst.{left_out}"
    )
