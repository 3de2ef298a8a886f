"""Finding the width that meets a budget of parameters, and reading an experiment, which does so for every model."""

from __future__ import annotations

from pathlib import Path

from .history import MODELS, module


class Sizing:
    """From a budget to a width, and from an experiment's YAML to its runs."""

    version = "1"
    params = (MODELS,)
    param_names = ("model",)
    rounds, repeat, timeout = 1, (3, 8, 1.0), 60

    def setup(self, model: str) -> None:
        self.make_run = module("api", "make_run").make_run
        self.make_run("adding(length=600)", model, parameters=70369, tolerance=0.05)

    def time_width(self, model: str) -> None:
        self.make_run("adding(length=600)", model, parameters=70369, tolerance=0.05)


class Experiments:
    """An experiment of four models and five seeds."""

    version = "1"
    rounds, repeat, timeout = 1, (3, 8, 2.0), 60

    def setup(self) -> None:
        self.load = module("config").load
        self.folder = Path(module("registry").ROOT) / "results" / "bai2018-adding-600"
        if not self.folder.is_dir():
            raise NotImplementedError("there is no such experiment yet")
        self.load(self.folder)

    def time_load(self) -> None:
        self.load(self.folder)
