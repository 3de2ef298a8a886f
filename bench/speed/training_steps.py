"""Training steps: by task shape and model, by length, and their memory; evaluation. One thread, as a run trains.

The networks are those of the rows that re-run the paper's table, without their dropout: by their parameters, which is
what every commit can be asked for.
"""

from __future__ import annotations

from .history import MODELS, evaluation, training_step

SHAPES = {
    "sequential-mnist": ("sequential-mnist(train=64)", 66910, 64),
    "adding-600": ("adding(length=600, train=64, valid=2, test=2)", 70369, 32),
    "copy-memory-1000": ("copy-memory(delay=1000, train=64, valid=2, test=2)", 12530, 32),
    "jsb": ("jsb", 269938, 1),
}
"""Name -> task, parameters, batch."""
TCN = {
    "sequential-mnist": "tcn(kernel=7, levels=8)",
    "adding-600": "tcn(kernel=8, levels=8)",
    "copy-memory-1000": "tcn(kernel=8, levels=8)",
    "jsb": "tcn(kernel=3, levels=2)",
}


def model_of(model: str, shape: str) -> str:
    """The model with the options that its row has, but for the width, which follows from the parameters."""
    return TCN[shape] if model == "tcn" else model


class TrainingStep:
    """Forward, loss, backward, clip and optimizer at the shapes of the paper's rows."""

    version = "1"
    params = (tuple(SHAPES), MODELS)
    param_names = ("shape", "model")
    number, rounds, repeat, warmup_time, timeout = 1, 1, (3, 6, 2.0), 0.0, 120

    def setup(self, shape: str, model: str) -> None:
        task, parameters, batch = SHAPES[shape]
        self.step = training_step(task, model_of(model, shape), parameters, batch, clip=1.0)

    def time_step(self, shape: str, model: str) -> None:
        self.step()


class StepByLength:
    """Sequences of 100 to 10,000 steps, all of which are read: the cost should grow with T and not faster."""

    version = "1"
    params = ((100, 1000, 10_000), MODELS)
    param_names = ("steps", "model")
    number, rounds, repeat, warmup_time, timeout = 1, 1, (2, 6, 1.5), 0.0, 120

    def setup(self, steps: int, model: str) -> None:
        task = f"copy-memory(delay={steps - 20}, train=8, valid=2, test=2)"
        self.step = training_step(task, model_of(model, "copy-memory-1000"), 12530, 8)

    def time_step(self, steps: int, model: str) -> None:
        self.step()


class Memory:
    """The most memory that a process holds which takes training steps, all that was imported in it."""

    version = "1"
    params = (("adding-600", "copy-memory-1000"), MODELS)
    param_names = ("shape", "model")
    timeout = 120

    def setup(self, shape: str, model: str) -> None:
        task, parameters, batch = SHAPES[shape]
        self.step = training_step(task, model_of(model, shape), parameters, batch, clip=1.0)

    def peakmem_step(self, shape: str, model: str) -> None:
        self.step()


class Evaluation:
    """One batch of evaluation, of as many examples as the suite shows at a time."""

    version = "1"
    params = (("adding", "copy-memory"), MODELS)
    param_names = ("task", "model")
    number, rounds, repeat, warmup_time, timeout = 1, 1, (3, 6, 1.0), 0.0, 120

    def setup(self, task: str, model: str) -> None:
        count = (1 << 16) // 600
        tasks = {
            "adding": (f"adding(length=600, train=2, valid=2, test={count})", 70369),
            "copy-memory": (f"copy-memory(delay=580, train=2, valid=2, test={count})", 12530),
        }
        text, parameters = tasks[task]
        shape = "adding-600" if task == "adding" else "copy-memory-1000"
        self.evaluate = evaluation(text, model_of(model, shape), parameters)

    def time_evaluate(self, task: str, model: str) -> None:
        self.evaluate()
