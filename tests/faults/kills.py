"""Kills: `run` and its processes are ended at any moment, again and again; then it is left in peace."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import psutil
from experiments import in_session
from trials import Trial, lines_of

ASKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
CUT_SHORT = tuple(128 + number for number in ASKED)


def trial(one: Trial) -> None:
    """Up to four attempts are cut short; the last goes on to the end, and nothing may tell it from one in peace."""
    folder = one.experiment()
    rows = folder.parents[1] / "runs" / "small" / "runs.jsonl"
    seen, asked_again = dict[str, str](), False
    for _ in range(one.random.randint(1, 4)):
        target = one.random.choice(["parent", "worker", "server", "group", "asked", "asked"])
        forked = target != "server" and one.random.random() < 0.8
        again = ("--afresh",) if one.random.random() < 0.2 else ()
        asked_again |= bool(again)
        process = one.start("run", folder, "--device", "cpu", "--jobs", one.random.choice("12"), *again, forked=forked)
        moment = time.monotonic() + one.random.uniform(0, 1.2 * one.seconds[forked])
        if one.random.random() < 0.3:  # just when a row, or a checkpoint, is written
            count = len(lines_of(rows))
            while process.code is None and time.monotonic() < moment and len(lines_of(rows)) == count:
                time.sleep(0.001)
        else:
            while process.code is None and time.monotonic() < moment:
                time.sleep(0.005)
        _strike(one, process.pid, target)
        one.counts[f"{target} killed" if target != "asked" else "asked to stop"] += 1
        one.finish(process, 0, 1, -signal.SIGKILL, *CUT_SHORT, *(-number for number in ASKED))
        now = {row["id"]: row["sum"] for row in lines_of(rows)}
        if lost := [name for name in seen if name not in now]:
            one.found("lost", f"after {target} was killed: {lost}")
        seen |= now
    one.finish(one.start("run", folder, "--device", "cpu"), 0)
    made = one.check_rows(folder)
    if not asked_again:
        one.check_no_doubles(made, "kills")
    one.check_leftovers(folder)


def _strike(one: Trial, process_id: int, target: str) -> None:
    with suppress(psutil.Error, OSError):
        if target == "group":
            os.killpg(process_id, signal.SIGKILL)
        elif target == "asked":
            number = one.random.choice(ASKED)
            if one.random.random() < 0.5:
                os.killpg(process_id, number)
            else:
                os.kill(process_id, number)
        else:
            victims = [other for other in in_session(process_id) if _kind(other, process_id) == target]
            if victims:
                one.random.choice(sorted(victims, key=lambda other: other.pid)).kill()


def _kind(process: psutil.Process, parent: int) -> str:
    if process.pid == parent:
        return "parent"
    return "server" if process.ppid() == parent and "forkserver" in " ".join(process.cmdline()) else "worker"
