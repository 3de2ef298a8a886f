"""Pairs: two commands at once on one experiment, the second a little later."""

from __future__ import annotations

import time

from trials import Trial


def trial(one: Trial) -> None:
    """Both end as they would alone, or say that the other is at work; and no run has two results."""
    folder, random = one.experiment(), one.random
    commands: list[tuple[object, ...]] = [
        ("run", folder, "--device", "cpu"),
        ("run", folder, "--device", "cpu", "--seeds", "0"),
        ("run", folder, "--device", "cpu", "--dry-run"),
        ("merge", folder, one.rows),
        ("publish", folder),
        ("status", folder, "--json"),
        ("table", folder),
        ("report", folder),
        ("verify", folder, "--static"),
    ]
    if random.random() < 0.3:  # rows are there already
        one.finish(one.start("merge", folder, one.rows), 0)
    first, second = random.choice(commands[:5]), random.choice(commands)
    one.counts["pairs"] += 1
    beginning = one.start(*first, forked=random.random() < 0.9)
    time.sleep(random.uniform(0, one.seconds[True]))
    later = one.start(*second)
    one.finish(beginning, 0, 1, 2)
    one.finish(later, 0, 1, 2)
    one.check_rows(folder, whole=False)
    one.finish(one.start("run", folder, "--device", "cpu"), 0)
    rows = one.check_rows(folder)
    one.check_leftovers(folder)
    one.check_no_doubles(rows, f"{first[0]} and {second[0]}")
