"""Disk errors: a library between the commands and the C library lets writes, flushes and renames fail."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path

from trials import Trial

ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)


def library(folder: Path) -> str:
    """`disk_errors.c`, compiled into a folder; empty where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        return ""
    source, built = Path(__file__).with_name("disk_errors.c"), folder / "disk_errors.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl"], check=True)
    return str(built)


def trial(one: Trial) -> None:
    """Commands on a disk that refuses for a while; then one on a disk that does not."""
    if not one.library:
        one.counts["left out: no C compiler"] += 1
        return
    folder, random = one.experiment(), one.random
    for _ in range(random.randint(2, 5)):
        refusing = {
            "LD_PRELOAD": one.library,
            "FAULTS_UNDER": str(one.room),
            "FAULTS_AT": str(random.choice([random.randint(1, 12), random.randint(1, 150)])),
            "FAULTS_FOR": str(random.choice([1, 1, 2, 5, 1000])),
            "FAULTS_ERRNO": str(random.choice(ERRORS)),
            "FAULTS_SHORT": random.choice(["", "1"]),
        }
        commands: list[tuple[object, ...]] = [
            ("run", folder, "--device", "cpu"),
            ("run", folder, "--device", "cpu"),
            ("run", folder, "--device", "cpu", "--afresh", "--keep-weights", "--figure"),
            ("merge", folder, one.rows, "--prefer", "newer"),
            ("publish", folder),
            ("table", folder, "--out", folder / "mine.md"),
            ("plot", folder, "--only", "curves"),
            ("report", folder),
            ("export", "adding(length=12, train=320, valid=32, test=32)", "--out", one.room / "data.npz"),
        ]
        one.finish(one.start(*random.choice(commands), forked=random.random() < 0.9, **refusing), 0, 1, 2)
        one.counts["commands with errors injected"] += 1
        one.check_rows(folder, whole=False)
    one.finish(one.start("run", folder, "--device", "cpu"), 0)
    one.check_rows(folder)
    one.check_leftovers(folder)
