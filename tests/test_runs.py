"""The identity of a run: which ids are pinned, what changes an id and what does not, and its way through JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from seqbench.bench import make_run
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import registry, runs
from seqbench.bench.experiments.notation import Spec, parse
from seqbench.bench.experiments.runs import Run, from_config, label, make_task
from seqbench.bench.experiments.settings import Training

# An id that changes makes every published row of its kind worthless: a change here needs a new version, not a new id.
PINNED: list[tuple[str, str, str, dict[str, Any]]] = [
    ("c56b596a97bb", "adding", "lstm", {}),
    ("064111483f31", "adding(length=200)", "lstm", {}),
    ("83f46f7e5ebb", "adding(length=200)", "lstm", {"seed": 1}),
    (
        *("47703f446a9c", "copy-memory(delay=500, coding=one-hot)", "gru(layers=2)"),
        {"parameters": 13_230, "tolerance": 0.03},
    ),
    ("152246b71426", "sequential-mnist(view=rows)", "rnn(nonlinearity=relu, width=32)", {}),
    (
        *("0371ba864e82", "permuted-mnist(permutation=bitrev)", "tcn(dropout=0.05, dropout_kind=element)"),
        {"schedule": "step(every=10, by=0.1)"},
    ),
    (
        *("ea4ffb91221e", "jsb", "tcn(kernel=3, levels=2, width=150, dropout=0.5)"),
        {"clip": 0.4, "batch": 1, "epochs": 100},
    ),
    (
        *("7a19e148daaa", "nottingham", "tcn(widths=[150,150,100])"),
        {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.5},
    ),
    (
        *("c64f2eb31bc8", "adding(length=600)", "tcn(kernel=8, levels=8, width=24)"),
        {"head": "linear(std=0.01)", "seed": 4},
    ),
    (
        *("7a1986876847", "piano", "lstm(forget_bias=1, recurrent_dropout=0.1)"),
        {"schedule": "plateau(by=0.5, window=5, after=5, ties=true)"},
    ),
    (
        *("e80bba3a42b6", "adding(length=50)", "gru(chrono=50, width=20)"),
        {"test_lengths": [100, 200], "weight_decay": 1e-4},
    ),
    ("8618804c450a", "ptb-word", "tcn", {}),
    ("2d44a4f6f1ba", "ptb-char(eos=spelled)", "tcn(widths=[450,450,100])", {"head": "tied", "patience": 5}),
    (
        *("e88f234f18bc", "text8", "lstm"),
        {"embedding": "embedding(dropout_kind=word, dropout=0.1)", "head": "adaptive(divisor=2)"},
    ),
]


@pytest.mark.parametrize(("pinned", "task", "model", "settings"), PINNED)
def test_pinned_ids(pinned: str, task: str, model: str, settings: dict[str, Any]) -> None:
    assert make_run(task, model, **settings).id == pinned


def test_what_is_said_twice_or_by_default_changes_no_id() -> None:
    run = make_run("adding(length=200)", "lstm")
    assert make_run("adding(marks=anywhere, length=200)", "lstm(layers=1, width=128, dropout=0)").id == run.id
    assert make_run("adding(length=200)", "lstm", epochs=10, learning_rate=0.002, clip=None).id == run.id
    assert make_run("adding(length=200)", "lstm", head="linear(std=none)", schedule="constant()").id == run.id
    assert dataclasses.replace(run, folder=Path("elsewhere")).id == run.id


def test_two_spellings_have_one_id() -> None:
    def id_of(schedule: str, head: str) -> str:
        return make_run("adding", "gru", schedule=schedule, head=head).id

    assert id_of("step(by=0.5, every=10)", "linear(std=0.5)") == id_of("step(by=5e-1)", "linear( std = .5 )")
    assert make_run("adding", "lstm(forget_bias=1)").id == make_run("adding", "lstm(forget_bias=1.0)").id
    assert make_run("sequential-mnist(side=14)", "gru").id == make_run("sequential-mnist(side=14.0)", "gru").id
    assert make_run("sequential-mnist(side=28)", "gru").id == make_run("sequential-mnist", "gru").id


def test_every_value_that_matters_changes_the_id() -> None:
    run = make_run("adding(length=200)", "lstm")
    others = [
        make_run("adding(length=201)", "lstm"),
        make_run("copy-memory(delay=200)", "lstm"),
        make_run("adding(length=200)", "gru"),
        make_run("adding(length=200)", "lstm(width=127)"),
        make_run("adding(length=200)", "lstm", head="linear(std=0.01)"),
        dataclasses.replace(run, seed=1),
        dataclasses.replace(run, training=Training(optimizer="sgd")),
    ]
    for field in dataclasses.fields(Training):
        words = {"optimizer": "rmsprop", "schedule": "step", "test_lengths": (7,)}
        changed = words.get(field.name, 3)
        base = {"optimizer": "sgd"} if field.name == "momentum" else {}
        others.append(dataclasses.replace(run, training=Training(**{**base, field.name: changed})))
    assert len({run.id, *(other.id for other in others)}) == 1 + len(others)


def test_head_embedding_and_precision_are_part_of_a_texts_id() -> None:
    run = make_run("ptb-char", "gru(width=8)")
    others = [
        *(make_run("ptb-char", "gru(width=8)", head=head) for head in ("tied", "softmax(dropout=0.1)", "adaptive")),
        *(make_run("ptb-char", "gru(width=8)", embedding=f"embedding({text})") for text in ("", "width=99", "std=0.1")),
        make_run("ptb-char", "gru(width=8)", embedding="embedding(width=100, dropout=0.1)"),
        make_run("ptb-char", "gru(width=8)", embedding="embedding(width=100, dropout=0.1, dropout_kind=word)"),
        dataclasses.replace(run, precision="bfloat16"),
    ]
    assert len({run.id, *(other.id for other in others)}) == 1 + len(others)
    others.append(make_run("ptb-char", "gru(width=8)", head="adaptive(cutoffs=[5, 9])"))
    for other in others:
        assert from_config(json.loads(json.dumps(other.config))) == other


def test_two_spellings_of_head_and_embedding_have_one_id() -> None:
    run = make_run("ptb-word", "gru(width=8)", embedding="embedding(width=8, dropout=0.5)", head="tied(dropout=0.25)")
    same = {"embedding": "embedding( std=none, dropout=.5, width=8 )", "head": "tied(dropout = 2.5e-1)"}
    assert make_run("ptb-word", "gru(width=8)", **same).id == run.id
    plain = Spec("embedding", {"dropout_kind": "element", "dropout": 0.5, "width": 8})
    assert dataclasses.replace(run, embedding=plain).id == run.id
    assert make_run("ptb-word", "gru(width=8)", head="tied(dropout=0.0)").id == make_run("ptb-word", "gru(width=8)").id
    own = make_run("ptb-char", "gru(width=8)", head="softmax(std=none)", embedding="embedding(width=100)")
    assert own.id == make_run("ptb-char", "gru(width=8)").id, "named, or the task's own"


@pytest.mark.parametrize("kind", ["task", "model"])
def test_another_version_has_another_id(kind: registry.Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    before = make_run("adding", "gru").id
    name = {"task": "adding", "model": "gru"}[kind]
    monkeypatch.setattr(registry.find(kind, name), "version", 2)
    assert make_run("adding", "gru").id != before


def test_another_loop_has_another_id(monkeypatch: pytest.MonkeyPatch) -> None:
    before = make_run("adding", "gru").id
    monkeypatch.setattr(runs, "LOOP_VERSION", runs.LOOP_VERSION + 1)
    assert make_run("adding", "gru").id != before


MODEL = """
from seqbench.models import gru


class Model(gru.Model):
    def __init__(self, channels: int, *, width: int = 8, {options}) -> None:
        super().__init__(channels, width=width)
"""
TASK = """
from dataclasses import dataclass

from seqbench.tasks import adding


@dataclass(frozen=True)
class Task(adding.Task):
    length: int = 30
    {options}
"""


def users_run(folder: Path, task_options: str, model_options: str) -> Run:
    """A run of a task and a model of the user's own, which lie in a folder."""
    folder.mkdir(parents=True)
    (folder / "my_task.py").write_text(TASK.format(options=task_options), encoding="utf-8")
    (folder / "my_model.py").write_text(MODEL.format(options=model_options), encoding="utf-8")
    specs = {}
    for kind in ("task", "model"):
        _, options = registry.resolve(kind, Spec(f"my_{kind}.py", {}), folder)
        specs[kind] = Spec(f"my_{kind}.py", options)
    return Run(**specs, folder=folder)


def test_a_new_option_with_a_default_re_keys_nothing(tmp_path: Path) -> None:
    before = users_run(tmp_path / "before", "", "speed: float = 1.0")
    after = users_run(tmp_path / "after", "colour: str = 'red'", "speed: float = 1.0, sizes: tuple[int, ...] = (1, 2)")
    assert "colour" in after.task.options
    assert "sizes" in after.model.options
    assert after.id == before.id
    other = Spec(after.model.name, {**after.model.options, "sizes": (2,)})
    assert dataclasses.replace(after, model=other).id != before.id


def test_a_new_setting_of_training_re_keys_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass(frozen=True)
    class Longer(Training):
        """Training with a setting that there was not before."""

        warm_up: int = 0

    before = make_run("adding", "gru", clip=1.0)
    monkeypatch.setattr(runs, "Training", Longer)
    assert dataclasses.replace(before, training=Longer(clip=1.0)).id == before.id
    assert dataclasses.replace(before, training=Longer(clip=1.0, warm_up=1)).id != before.id


def test_where_a_users_file_lies_is_no_part_of_the_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = users_run(tmp_path / "one", "", "speed: float = 1.0")
    monkeypatch.chdir(tmp_path)
    elsewhere = dataclasses.replace(
        run,
        model=Spec("one/my_model.py", run.model.options),
        task=Spec("./one/my_task.py", run.task.options),
        folder=None,
    )
    absolute = Spec(str(tmp_path / "one" / "my_model.py"), run.model.options)
    assert dataclasses.replace(run, model=absolute).id == run.id
    assert str(run) == "my_task.py(length=30) my_model.py seed 0"
    assert elsewhere.id != run.id, "a relative path tells two files of one name apart"
    assert str(elsewhere) == "one/my_task.py(length=30) one/my_model.py seed 0"
    (tmp_path / "one" / "my_model.py").rename(tmp_path / "one" / "other.py")
    assert dataclasses.replace(run, model=Spec("other.py", run.model.options)).id != run.id


@pytest.mark.parametrize(("pinned", "task", "model", "settings"), PINNED)
def test_a_run_survives_json(pinned: str, task: str, model: str, settings: dict[str, Any]) -> None:
    run = make_run(task, model, **settings)
    again = from_config(json.loads(json.dumps(run.config)))
    assert again == run
    assert again.id == pinned
    assert again.config == run.config


def test_a_row_of_the_past_or_the_future_says_what_is_not_known() -> None:
    config = make_run("adding", "gru").config
    for path, hint in (
        (("training", "speed"), "training has no option 'speed'"),
        (("model", "options", "speed"), "model gru has no option 'speed'"),
        (("task", "options", "speed"), "task adding has no option 'speed'"),
    ):
        changed = json.loads(json.dumps(config))
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = 1
        with pytest.raises(UsageError, match=hint):
            from_config(changed)
    past = json.loads(json.dumps(config))
    del past["training"]["test_lengths"], past["model"]["options"]["chrono"], past["embedding"]  # they came later
    assert from_config(past) == make_run("adding", "gru")
    assert from_config(past).id == make_run("adding", "gru").id


@pytest.mark.parametrize(
    ("task", "model", "task_label", "model_label"),
    [
        ("adding", "lstm(width=7)", "adding(length=600)", "lstm"),
        (
            "adding(marks=halves, train=5)",
            "lstm(layers=2)",
            "adding(length=600, marks=halves, train=5)",
            "lstm(layers=2)",
        ),
        ("jsb", "tcn(widths=[4,5])", "jsb", "tcn(widths=[4,5])"),
        ("copy-memory(coding=one-hot)", "rnn", "copy-memory(delay=1000, coding=one-hot)", "rnn"),
    ],
)
def test_labels(task: str, model: str, task_label: str, model_label: str) -> None:
    run = make_run(task, model, seed=3)
    assert (run.task_label, run.model_label) == (task_label, model_label)
    assert str(run) == f"{task_label} {model_label} seed 3"


@pytest.mark.parametrize(
    ("task", "ends", "shown"),
    [
        ("adding", {"head": "linear(std=0.01)"}, "adding(length=600) gru, head=linear(std=0.01) seed 0"),
        ("adding", {"head": "linear(std=none)"}, "adding(length=600) gru seed 0"),
        ("ptb-char", {"head": "softmax", "embedding": "embedding(width=100)"}, "ptb-char(eos=one) gru seed 0"),
        (
            "ptb-char",
            {"head": "tied", "embedding": "embedding(width=100, dropout=0.1)"},
            "ptb-char(eos=one) gru, head=tied, embedding(width=100, dropout=0.1) seed 0",
        ),
    ],
)
def test_a_run_names_the_ends_that_are_not_the_tasks_own(task: str, ends: dict[str, str], shown: str) -> None:
    assert str(make_run(task, "gru(width=8)", **ends)) == shown


def test_a_model_may_have_options_that_always_stand_in_its_label(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("jsb", "gru(input_dropout=0.1)")
    assert run.model_label == "gru(input_dropout=0.1)"
    monkeypatch.setattr(run.model_class, "variant", ("layers",))
    assert run.model_label == "gru(layers=1, input_dropout=0.1)"
    assert run.id == make_run("jsb", "gru(input_dropout=0.1)").id


def test_a_label_keeps_what_is_not_known_any_more() -> None:
    cls = registry.find("model", "gru")
    assert label(Spec("/a/gru.py", {"width": 128, "gone": 1}), cls) == "gru.py(gone=1)"


def test_first_weights_are_a_function_of_the_seed_alone() -> None:
    def weights(**options: Any) -> torch.Tensor:
        run = make_run("adding(length=20)", "gru(width=4)", **options)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(1 << 30, ())))
            return torch.cat([part.flatten() for part in run.make_network(run.make_task()).parameters()])

    assert torch.equal(weights(), weights())
    assert torch.equal(weights(), weights(epochs=3, learning_rate=0.5))
    assert not torch.equal(weights(), weights(seed=1))


def test_a_task_whose_options_do_not_go_together() -> None:
    with pytest.raises(UsageError, match=r"task adding\(length=1\): adding: length must be 2 or more, got 1"):
        make_task(parse("adding(length=1)"))


@pytest.mark.parametrize(
    "settings",
    [
        *({"epochs": 0}, {"batch": 0}, {"learning_rate": 0.0}, {"learning_rate": -1.0}, {"clip": 0.0}),
        *({"momentum": 0.9}, {"momentum": -0.1, "optimizer": "sgd"}, {"weight_decay": -1.0}, {"schedule": "stepp"}),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^(training|unknown schedule)"):
        Training(**settings)


def test_another_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="precision=float64: one of float32, tf32, bfloat16 is needed"):
        dataclasses.replace(make_run("adding", "rnn"), precision="float64")
