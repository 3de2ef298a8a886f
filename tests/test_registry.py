"""The file system as the registry: names, files and modules of a user's own, and a listing that costs nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import seqbench.models.gru
import seqbench.tasks.adding
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import registry
from seqbench.bench.experiments.notation import Spec, parse

MODEL = '''\
from typing import Any

from seqbench.models import gru
from seqbench.models.base import Model as Base


class Model(gru.Model):
    """A GRU by another name."""


class Other(gru.Model):
    """Another."""


class Unfinished(Base):
    """Without `forward`."""


class Stranger:
    """Not a model at all."""


class Demanding(gru.Model):
    """An option without a default."""

    def __init__(self, channels: int, *, width: int, speed: float, sizes: tuple[int, ...] = ()) -> None:
        super().__init__(channels, width=width)
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file of the user's own."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "my_model.py").write_text(MODEL, encoding="utf-8")
    return tmp_path / "mine"


def test_the_listing_names_every_file_with_its_facts() -> None:
    tasks, models = registry.listing("task"), registry.listing("model")
    assert {"adding", "copy-memory", "sequential-mnist", "permuted-mnist", "jsb", "nottingham"} <= set(tasks)
    assert {"rnn", "lstm", "gru", "tcn"} <= set(models)
    for kind, entries in (("task", tasks), ("model", models)):
        for name, entry in entries.items():
            cls = registry.find(kind, name)  # what is read from the source is what the class says
            assert (entry.source, entry.variants) == (cls.source, tuple(cls.variants))
            assert entry.line == (cls.__doc__ or "").partition("\n")[0]
            assert entry.line
            assert entry.source
            for variant in entry.variants:
                registry.resolve(kind, parse(variant))  # every variant can be had


def test_names_of_the_suite() -> None:
    assert registry.find("task", "adding") is seqbench.tasks.adding.Task
    assert registry.find("model", "gru") is seqbench.models.gru.Model


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("model", "tnc", "unknown model 'tnc': did you mean 'tcn'?"),
        ("task", "ading", "unknown task 'ading': did you mean 'adding'?"),
        ("task", "copy_memory", "did you mean 'copy-memory'?"),
        ("task", "zzzzzz", "known: adding, "),
        ("model", "_recurrent", "unknown model"),
        ("model", "base", "unknown model 'base'"),
        ("task", "gru", "unknown task 'gru'"),
    ],
)
def test_unknown_names(kind: registry.Kind, name: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        registry.find(kind, name)
    assert hint in str(raised.value)


def test_a_users_file_by_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = registry.find("model", "my_model.py", folder)
    assert found.__doc__ == "A GRU by another name."
    assert registry.find("model", "my_model.py:Other", folder).__doc__ == "Another."
    assert registry.find("model", str(folder / "my_model.py")) is found
    assert registry.find("model", "mine/my_model.py", folder.parent) is found
    monkeypatch.chdir(folder.parent)
    assert registry.find("model", "mine/my_model.py") is found
    assert registry.find("model", "./mine/my_model.py", folder / "elsewhere") is found  # then the current folder
    with pytest.raises(UsageError, match=r"no file my_model.py \(looked in "):
        registry.find("model", "my_model.py")


def test_the_named_folder_goes_before_the_current_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = folder.parent / "here"
    here.mkdir()
    (here / "my_model.py").write_text(MODEL.replace("another name", "a third name"), encoding="utf-8")
    monkeypatch.chdir(here)
    assert "third" in (registry.find("model", "my_model.py").__doc__ or "")
    assert "another" in (registry.find("model", "my_model.py", folder).__doc__ or "")


def test_a_module_and_a_class(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.find("model", "seqbench.models.gru:Model") is seqbench.models.gru.Model
    (folder / "of_mine.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    assert registry.find("model", "of_mine:Other").__doc__ == "Another."


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("my_model.py:Missing", "holds no class Missing that derives from seqbench.models.base.Model"),
        ("my_model.py:Stranger", "holds no class Stranger that derives from"),
        ("my_model.py:Any", "holds no class Any that derives from"),
        ("my_model.py:Unfinished", "class Unfinished does not define forward"),
        ("seqbench.models.gru:Modell", "holds no class Modell"),
        ("no.such.package:Model", "cannot import 'no.such.package': ModuleNotFoundError"),
        (":Model", "cannot import ''"),
        ("..models:Model", "cannot import '..models'"),
    ],
)
def test_classes_that_do_not_keep_the_contract(folder: Path, name: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        registry.find("model", name, folder)
    assert hint in str(raised.value)


def test_a_model_is_not_a_task(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no class Task that derives from seqbench\.tasks\.base\.Task"):
        registry.find("task", "my_model.py", folder)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("1 / 0", "broken.py:1: ZeroDivisionError: division by zero"),
        ("class Model(", "broken.py: SyntaxError: "),
        ("import nothing_of_this_name", "broken.py:1: ModuleNotFoundError: "),
    ],
)
def test_files_that_do_not_load(tmp_path: Path, content: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):  # a half-loaded module is not taken for a whole one
        with pytest.raises(UsageError) as raised:
            registry.find("model", "broken.py", tmp_path)
        assert hint in str(raised.value)
    with pytest.raises(UsageError, match="cannot import 'broken'"):
        registry.find("model", "broken:Model")


def test_resolving_fills_in_and_checks_options(folder: Path) -> None:
    cls, options = registry.resolve("model", parse("tcn(widths=[8, 9], dropout=0)"))
    assert options == {
        **{"kernel": 7, "levels": 8, "width": 25, "widths": (8, 9), "dropout": 0.0, "dropout_kind": "channel"},
        **{"residual_std": 0.01, "weight_norm": True},
    }
    assert cls(2, **options).features == 9
    with pytest.raises(UsageError, match="model tcn has no option 'kernels': did you mean 'kernel'"):
        registry.resolve("model", parse("tcn(kernels=8)"))
    with pytest.raises(UsageError, match="task adding: marks=half: did you mean 'halves'"):
        registry.resolve("task", parse("adding(marks=half)"))
    with pytest.raises(UsageError, match="needs the option speed"):
        registry.resolve("model", Spec("my_model.py:Demanding", {"width": 4}), folder)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("a/b/my_model.py:Net", "a/b/my_model.py:Net"),
        ("./my_model.py", "my_model.py"),
        ("b/../a/my_model.py", "a/my_model.py"),
        ("a\\my_model.py", "a/my_model.py"),
        ("../mine/my_model.py", "../mine/my_model.py"),
        ("/home/me/my_model.py:Net", "my_model.py:Net"),
        ("C:\\mine\\my_model.py", "my_model.py"),
        ("package.module:Net", "package.module:Net"),
        ("copy-memory", "copy-memory"),
    ],
)
def test_a_short_name_tells_files_apart_and_machines_not(name: str, short: str) -> None:
    assert registry.short(name) == short


LIST = """
import sys
from seqbench.bench.cli import main
sys.argv = ["seqbench", "list", "--json"]
try:
    main()
finally:
    heavy = {"torch", "numba", "scipy", "pandas", "matplotlib", "numpy"} & set(sys.modules)
    print(sorted(heavy), file=sys.stderr)
"""


def test_the_listing_imports_nothing_heavy() -> None:
    """That is why it is quick."""
    ended = subprocess.run([sys.executable, "-c", LIST], capture_output=True, text=True)
    assert ended.stderr.strip() == "[]"
    assert {entry["name"] for entry in json.loads(ended.stdout)["models"]} >= {"rnn", "lstm", "gru", "tcn"}


def test_a_module_beside_the_user_is_found_and_the_path_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside_the_user.py").write_text("from seqbench.models.rnn import Model as Mine\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(tmp_path))])
    before = [*sys.path]
    assert registry.find("model", "beside_the_user:Mine").__name__ == "Model"
    assert sys.path == before
