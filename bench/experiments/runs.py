"""A Run: one task, one model, one way of training, one seed, with every option resolved. Its id is its identity."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...models.base import Model
from ...models.network import Network
from ...tasks.base import Task
from .. import seeding
from ..errors import UsageError
from . import networks, registry
from .networks import EMBEDDING, LINEAR
from .notation import Spec
from .options import checked, options_of
from .settings import Training, canonical_schedule

LOOP_VERSION = 1
"""Counts changes of the training loop that alter results."""

DEFAULT_TRAINING = Training()
PRECISIONS = ("float32", "tf32", "bfloat16")


@dataclass(frozen=True)
class Run:
    """Everything that defines one training. `task.options` and `model.options` are complete, width included.

    precision: "float32"; on a GPU also "tf32", whose matrix products in training have 10 bits, or "bfloat16" for mixed
    precision. Weights, loss and evaluation are always in float32.
    folder: where a relative path of a user's file is looked for; it is not part of the identity.
    """

    task: Spec
    model: Spec
    training: Training = DEFAULT_TRAINING
    head: Spec = LINEAR
    embedding: Spec = EMBEDDING
    seed: int = 0
    precision: str = "float32"
    folder: Path | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision={self.precision}: one of {', '.join(PRECISIONS)} is needed")

    @cached_property
    def task_class(self) -> type[Task]:
        """The class behind the task's name."""
        return registry.find("task", self.task.name, self.folder)

    @cached_property
    def model_class(self) -> type[Model]:
        """The class behind the model's name."""
        return registry.find("model", self.model.name, self.folder)

    def make_task(self) -> Task:
        """The task; raises UsageError where its options do not go together."""
        return make_task(self.task, self.folder)

    def make_network(self, task: Task) -> Network:
        """The network with its first numbers, on the CPU: a pure function of the run."""
        with seeding.forked("initialization", self.seed):
            return networks.build(task, self.model_class, self.model.options, self.head, self.embedding)

    @property
    def config(self) -> dict[str, Any]:
        """The whole configuration as JSON types; `from_config` reads it back."""
        return {
            "task": _described(self.task, self.task_class.version),
            "model": _described(self.model, self.model_class.version),
            "head": _written(self.head),
            "embedding": _written(self.embedding),
            "training": json.loads(json.dumps(dataclasses.asdict(self.training))),
            "seed": self.seed,
            "precision": self.precision,
            "loop": LOOP_VERSION,
        }

    @cached_property
    def id(self) -> str:
        """12 hex digits: SHA-256 of contract versions and of every value that differs from its default.

        So adding an option with a default gives no run another id.
        """
        training = {field.name: field.default for field in dataclasses.fields(Training)}
        settings = {**vars(self.training), "schedule": canonical_schedule(self.training.schedule)}
        ends = {"head": networks.canonical_head(self.head), "embedding": networks.canonical_embedding(self.embedding)}
        identity = {
            "task": _identity(self.task, self.task_class),
            "model": _identity(self.model, self.model_class),
            "loop": LOOP_VERSION,
            "training": {key: value for key, value in settings.items() if value != training[key]},
            "seed": self.seed,
            "precision": self.precision,
        }
        identity |= {key: str(spec) for key, spec in ends.items() if spec not in (LINEAR, EMBEDDING)}
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def task_label(self) -> str:
        """The task as tables name it: its variant, and the options that are not at their defaults."""
        return label(self.task, self.task_class, self.task_class.variant)

    @property
    def model_label(self) -> str:
        """As tables name it: its variant and the options that are not at their defaults, but not its size."""
        size = networks.size_options(self.model_class)
        options = {key: value for key, value in self.model.options.items() if key not in size}
        return label(Spec(self.model.name, options), self.model_class, self.model_class.variant)

    def __str__(self) -> str:
        head, embedding = networks.head_for(self.task_class, None), networks.embedding_for(self.task_class, None)
        ends = f", head={self.head}" if self.head != head else ""
        ends += f", {self.embedding}" if self.embedding != embedding else ""
        return f"{self.task_label} {self.model_label}{ends} seed {self.seed}"


def from_config(config: Mapping[str, Any], folder: Path | None = None) -> Run:
    """The Run of a row's `config`. Raises UsageError where a name or an option is not known (any more)."""
    specs = {
        key: Spec(**{part: config[key][part] for part in ("name", "options")}) for key in ("task", "model", "head")
    }
    if "embedding" in config:  # rows from before there were texts have none
        specs["embedding"] = Spec(**config["embedding"])
    kinds: tuple[registry.Kind, ...] = ("task", "model")
    for kind in kinds:
        _, options = registry.resolve(kind, specs[kind], folder)
        specs[kind] = Spec(specs[kind].name, options)
    specs["head"] = networks.canonical_head(specs["head"])  # JSON has lists for tuples
    if "embedding" in specs:
        specs["embedding"] = networks.canonical_embedding(specs["embedding"])
    training = Training(**checked("training", options_of(Training), config["training"]))
    return Run(**specs, training=training, seed=config["seed"], precision=config["precision"], folder=folder)


def make_task(spec: Spec, folder: Path | None = None) -> Task:
    """The task that a spec names, options checked."""
    cls, options = registry.resolve("task", spec, folder)
    try:
        return cls(**options)
    except ValueError as error:
        raise UsageError(f"task {spec}: {error}") from error


def label(spec: Spec, cls: type[Any], always: tuple[str, ...] = ()) -> str:
    """A spec as a reader wants it: the options named in `always`, and those that are not at their defaults."""
    defaults = {name: option.default for name, option in options_of(cls).items()}
    shown = {
        key: value
        for key, value in spec.options.items()
        if key in always or key not in defaults or value != defaults[key]
    }
    return str(Spec(registry.short(spec.name), shown))


def _described(spec: Spec, version: int) -> dict[str, Any]:
    return {**_written(spec), "version": version}


def _written(spec: Spec) -> dict[str, Any]:
    options = {key: list(value) if isinstance(value, tuple) else value for key, value in spec.options.items()}
    return {"name": spec.name, "options": options}


def _identity(spec: Spec, cls: type[Any]) -> list[Any]:
    defaults = {name: option.default for name, option in options_of(cls).items()}
    different = {key: value for key, value in spec.options.items() if value != defaults[key]}
    return [registry.short(spec.name), cls.version, different]
