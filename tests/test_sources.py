"""Which changes of the code make a row stale, and which do not."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from experiments import OWN_MODEL, write
from seqbench.bench import api
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config, registry
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows import sources, trees
from seqbench.bench.rows.renewals import Staleness
from seqbench.bench.rows.sources import file_hashes, source_hash
from suite_copies import copied, edit
from test_provenance import TWO_MODELS, git

pytestmark = pytest.mark.usefixtures("forgotten")


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the suite's sources, at which hashes are looked up."""
    return copied(tmp_path, monkeypatch)


def gru() -> Run:
    return api.make_run("adding(length=12)", "gru(width=4)")


def test_a_hash_is_the_same_wherever_the_suite_lies(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = source_hash(gru())
    monkeypatch.undo()
    sources.forget()
    assert source_hash(gru()) == there


EXPLANATIONS: list[Callable[[str], str]] = [
    lambda text: f"# A comment.\n{text}\n\n# Another.\n",
    lambda text: text.replace('"""', '"""Better explained: ', 1),
    lambda text: text.replace("\n\n\n", "\n\n\n\n"),
    lambda text: ast.unparse(ast.parse(text)),
    lambda text: f'{text}\n\n"""A string that stands alone."""\n',
]


@pytest.mark.parametrize("change", EXPLANATIONS)
@pytest.mark.parametrize("name", ["tasks/adding.py", "models/gru.py", "bench/engine/training.py"])
def test_explanations_make_nothing_stale(name: str, change: Callable[[str], str], suite: Path) -> None:
    before = source_hash(gru())
    edit(suite / name, change)
    assert source_hash(gru()) == before


@pytest.mark.parametrize(
    "name",
    [
        "tasks/adding.py",
        "tasks/base.py",
        "tasks/_random.py",
        "models/gru.py",
        "models/_recurrent.py",
        "models/base.py",
        "models/network.py",
        "models/heads.py",
        "bench/engine/training.py",
        "bench/engine/evaluation.py",
        "bench/experiments/settings.py",
        "bench/seeding.py",
        "bench/experiments/networks.py",
    ],
)
def test_code_makes_rows_stale(name: str, suite: Path) -> None:
    before = source_hash(gru())
    edit(suite / name, lambda text: f"{text}\nADDED = 1\n")
    assert source_hash(gru()) != before


def test_a_number_that_changes_makes_rows_stale(suite: Path) -> None:
    before = source_hash(gru())
    edit(suite / "models" / "gru.py", lambda text: text.replace("width: int = 128", "width: int = 129"))
    assert source_hash(gru()) != before


@pytest.mark.parametrize(
    "name",
    [
        "tasks/copy_memory.py",
        "tasks/_music.py",
        "tasks/datasets.py",
        "models/tcn.py",
        "bench/running/sweep.py",
        "bench/running/worker.py",
        "bench/rows/store.py",
        "bench/engine/checkpoint.py",
        "bench/report/tables/experiment_table.py",
        "bench/cli/experiments.py",
    ],
)
def test_what_the_run_does_not_stand_on_makes_nothing_stale(name: str, suite: Path) -> None:
    before = source_hash(gru())
    edit(suite / name, lambda text: f"{text}\nADDED = 1\n")
    assert source_hash(gru()) == before


def test_shared_modules_count_for_those_who_share_them(suite: Path) -> None:
    runs = [api.make_run(task, model) for task, model in [("jsb", "gru(width=4)"), ("jsb", "tcn(width=4, levels=2)")]]
    before = [source_hash(run) for run in runs]
    edit(suite / "models" / "_recurrent.py", lambda text: f"{text}\nADDED = 1\n")
    after = [source_hash(run) for run in runs]
    assert (after[0] != before[0], after[1] != before[1]) == (True, False)
    edit(suite / "tasks" / "_music.py", lambda text: f"{text}\nADDED = 1\n")
    assert all(source_hash(run) != old for run, old in zip(runs, after, strict=True))


@pytest.mark.parametrize("imports", ["from seqbench.models import gru", "import seqbench.models.gru as gru"])
def test_a_users_model_counts_with_what_it_imports_of_the_suite(imports: str, suite: Path, tmp_path: Path) -> None:
    text = OWN_MODEL.replace("from seqbench.models import gru", imports).replace("BODY", "inputs = inputs * 1.0")
    folder = write(tmp_path / "mine", TWO_MODELS, my_model=text)
    run, other = config.load(folder).runs
    before = source_hash(run), source_hash(other)
    edit(folder / "my_model.py", lambda text: text.replace("# no comment yet", "# a comment"))
    assert source_hash(run) == before[0]
    edit(folder / "my_model.py", lambda text: text.replace("1.0", "1.1"))
    edited = source_hash(run)
    assert edited != before[0]
    assert source_hash(other) == before[1]
    edit(suite / "models" / "_recurrent.py", lambda text: f"{text}\nADDED = 1\n")
    assert source_hash(run) != edited


def test_two_files_of_one_name_both_count(tmp_path: Path) -> None:
    task = "from seqbench.tasks import adding\n\n\nclass Task(adding.Task):\n    pass\n"
    model = OWN_MODEL.replace("BODY", "inputs = inputs * 1.0")
    text = TWO_MODELS.replace("adding(", "own/same.py(").replace("my_model.py", "same.py")
    folder = write(tmp_path / "mine", text, same=model)
    write(folder / "own", same=task)
    run = config.load(folder).runs[0]
    hashes = {source_hash(run)}
    edit(folder / "same.py", lambda text: text.replace("1.0", "1.1"))
    hashes.add(source_hash(run))
    edit(folder / "own" / "same.py", lambda text: f"{text}\nADDED = 1\n")
    hashes.add(source_hash(run))
    assert len(hashes) == 3


def into_rooms(suite: Path) -> list[str]:
    """Moves every file of bench/ that defines the result into a room of its own, and mends the imports."""
    bench = suite / "bench"
    wanted = {name.partition("/")[2] for name in file_hashes(gru()) if name.startswith("bench/")}
    there = {path.stem: path for path in bench.rglob("*.py") if path.stem in wanted}
    rooms = {stem: f"room_{number}" for number, stem in enumerate(sorted(wanted))}

    def mended(match: re.Match[str], path: Path) -> str:
        """An import as it must be in `bench/room_N/`, from what it was in the file at `path`."""
        place, names = path.parents[len(match["dots"]) - 1], match["names"]
        if match["module"]:
            module = place.joinpath(*match["module"].split("."))
            return f"from {source_of(module)} import {names}"
        return "\n".join(
            f"from {source_of(place / name).rpartition('.')[0] or '..'} import {name}" for name in names.split(", ")
        )

    def source_of(module: Path) -> str:
        """How a module is imported from a room of bench/, by its path without .py before it moved."""
        if not module.is_relative_to(bench):
            return f"...{'.'.join(module.relative_to(suite).parts)}"
        parts = module.relative_to(bench).parts
        return f"..{rooms[parts[-1]]}.{parts[-1]}" if parts[-1] in rooms else f"..{'.'.join(parts)}"

    pattern = r"from (?P<dots>\.+)(?P<module>[\w.]*) import (?P<names>[\w, ]+)"
    for stem, path in there.items():
        text = re.sub(pattern, partial(mended, path=path), path.read_text(encoding="utf-8"))
        (bench / rooms[stem]).mkdir()
        (bench / rooms[stem] / f"{stem}.py").write_text(text, encoding="utf-8")
        path.unlink()
    sources.forget()
    return sorted(rooms)


def test_files_that_move_make_nothing_stale(suite: Path) -> None:
    before = file_hashes(gru())
    moved = into_rooms(suite)
    assert len(moved) >= 10
    assert not (suite / "bench" / "engine" / "training.py").exists()
    assert file_hashes(gru()) == before


MESSAGES: list[tuple[str, Callable[[str], str]]] = [
    ("bench/experiments/settings.py", lambda text: text.replace("at least {least} is needed", "{least} or more")),
    ("bench/engine/repeatable.py", lambda text: text.replace("only float32 is there", "there is float32 alone")),
    ("bench/engine/training.py", lambda text: text.replace("another training goes on", "one goes on already")),
    ("bench/experiments/runs.py", lambda text: text.replace(" seed {self.seed}", ", seed {self.seed}")),
    ("tasks/base.py", lambda text: re.sub(r'raise ValueError\(f?"', "\\g<0>Oh: ", text)),
]


@pytest.mark.parametrize(("name", "change"), MESSAGES, ids=[name for name, _ in MESSAGES])
def test_reworded_messages_make_nothing_stale(name: str, change: Callable[[str], str], suite: Path) -> None:
    """Texts of `raise` and of `__str__`; one of `assert` is below."""
    before = file_hashes(gru())
    (path,) = [
        file for file in (suite / name.partition("/")[0]).rglob(Path(name).name) if "measuring" not in file.parts
    ]
    edit(path, change)
    assert file_hashes(gru()) == before


@pytest.mark.parametrize(
    ("text", "other", "same"),
    [
        ("assert a, 'one'", "assert a, f'another {b}'", True),
        ("assert a == 'one'", "assert a == 'another'", False),
        ("raise ValueError('one')", "raise ValueError('another')", True),
        ("raise ValueError('one')", "raise KeyError('one')", False),
        ("raise error from ValueError('one')", "raise error from ValueError('two')", True),
        ("x = 'one'", "x = 'another'", False),
        ("print('one')", "print('another')", False),
        ("def __repr__(self): return 'one'", "def __repr__(self): return f'another {self}'", True),
        ("def __str__(self): return self.a", "def __str__(self): return self.b", False),
        ("def name(self): return 'one'", "def name(self): return 'another'", False),
    ],
)
def test_which_texts_count(text: str, other: str, same: bool) -> None:
    assert (sources._meaning(ast.parse(text)) == sources._meaning(ast.parse(other))) is same


def test_what_is_imported_counts_and_from_where_it_does_not(tmp_path: Path) -> None:
    """By the module's own name, the name in it, and the name here, in whatever order."""
    for name in ("a/one.py", "a/two.py", "b/one.py", "b/two.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = y = 1\n", encoding="utf-8")
    tree = trees.Checkout(tmp_path)

    def hash_of(folder: str, text: str) -> str:
        path = tmp_path / folder / "it.py"
        path.write_text(text, encoding="utf-8")
        return sources._parsed(path, tree).hash

    there = hash_of("a", "from .one import x\nfrom . import two\nx + 1\n")
    assert hash_of("a", "from . import two\nfrom ..b.one import x\nx + 1\n") == there
    assert hash_of("a", "from ..b import two\nfrom ..b.one import x\nx + 1\n") == there
    for other in (
        "from .one import y\nfrom . import two\nx + 1\n",
        "from .one import x as z\nfrom . import two\nx + 1\n",
        "from .two import x\nfrom . import two\nx + 1\n",
        "from .one import x\nx + 1\n",
    ):
        assert hash_of("a", other) != there


def test_the_files_of_a_result_have_names_of_their_own() -> None:
    """Else a file that takes another's place would not be seen."""
    for path in registry.ROOT.glob("results/*/experiment.yaml"):
        if "sequential" in path.parent.name or "jsb" in path.parent.name:
            for run in config.load(path.parent).runs[:4]:
                assert not any("+" in value for value in file_hashes(run).values())


def test_what_has_changed_since_a_commit(suite: Path) -> None:
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        git(suite, *words)
    commit = git(suite, "rev-parse", "HEAD")
    now = file_hashes(gru())
    assert sources.at_commit(commit, gru()) == now
    edit(suite / "tasks" / "adding.py", EXPLANATIONS[0])
    edit(suite / "models" / "gru.py", lambda text: f"{text}\nADDED = 1\n")
    loop = sources._loop()
    loop.with_name("further.py").write_text("NEW = 1\n", encoding="utf-8")
    edit(loop, lambda text: f"{text}\nfrom . import further\n")
    changed = sources.changed(sources.at_commit(commit, gru()), file_hashes(gru()))
    assert changed == ["bench/further", "bench/training", "models/gru"]
    assert str(Staleness(tuple(changed))) == "stale: bench/further, bench/training, models/gru changed since"
    with pytest.raises(UsageError, match="commit 0123456789 is not in this repository: fetch the whole history"):
        sources.at_commit("0123456789" * 4, gru())


def test_a_model_that_a_commit_lacks(suite: Path) -> None:
    git(suite, "init", "-q")
    (suite / "models" / "gru.py").rename(suite / "gru.py.aside")
    for words in (["add", "."], ["commit", "-qm", "no gru"]):
        git(suite, *words)
    (suite / "gru.py.aside").rename(suite / "models" / "gru.py")
    with pytest.raises(UsageError, match=r"has no file models/gru\.py, which defines adding"):
        sources.at_commit(git(suite, "rev-parse", "HEAD"), gru())
