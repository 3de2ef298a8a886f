"""What a run costs beside its training: processes of this machine, and tasks of a Ray cluster on this machine.

`python -m seqbench.bench.speed.cluster_overhead [RUNS [WORKERS…]]` has so many tiny runs (200) trained by each count of
workers (1, 2, 4), in both ways, after a first few that are not counted: they start servers and compile kernels. Printed
are runs an hour, seconds a run and worker, and the processor's time of the driver for a run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from .cluster_load import EXPERIMENT, Silent
from .history import module

FIRST = 8
"""Runs that are not counted."""


def measure(runs: int, backend: Any) -> tuple[float, float]:
    """Seconds of wall time, and of the driver's processor, for so many runs by a backend that has started."""
    config, planning, sweep, store = (module(name) for name in ("config", "planning", "sweep", "store"))
    taken = (0.0, 0.0)
    for count in (FIRST, runs):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "tiny"
            folder.mkdir()
            (folder / "experiment.yaml").write_text(EXPERIMENT.format(runs=count), encoding="utf-8")
            experiment = config.load(folder)
            planned = planning.plan(experiment, store.Workplace(folder), "cpu")
            wall, spent = time.perf_counter(), time.process_time()
            result = sweep.run(experiment, planned, Silent(), backend=backend)
            taken = time.perf_counter() - wall, time.process_time() - spent
        assert result.exit_code == 0
    return taken


def on_ray(workers: int) -> AbstractContextManager[Any]:
    """A cluster of this machine with so many processors, as Ray counts them."""
    import ray

    ray.shutdown()
    ray.init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False, object_store_memory=2**28)
    backend: AbstractContextManager[Any] = module("cluster").Cluster(module("ray_engine").Ray())
    return backend


def main() -> None:
    """Prints a line for each number of workers and way."""
    runs, *workers = [int(word) for word in sys.argv[1:]] or [200]
    ways: dict[str, Callable[[int], AbstractContextManager[Any]]] = {
        "processes": lambda count: module("local").Local(jobs=count),
        "ray": on_ray,
    }
    print("workers  way         runs/hour  s a run and worker  driver, ms a run")
    for count in workers or [1, 2, 4]:
        for name, make in ways.items():
            with make(count) as backend:
                wall, spent = measure(runs, backend)
            shown = f"{3600 * runs / wall:9.0f}  {count * wall / runs:18.3f}  {1000 * spent / runs:16.1f}"
            print(f"{count:7}  {name:10}  {shown}", flush=True)


if __name__ == "__main__":
    main()
