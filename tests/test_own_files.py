"""Files of the user's own: what they import, from wherever, is found, counts for the hash, and is the right one."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from experiments import sweep_in, write
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config, imports, registry
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows import sources, trees
from seqbench.bench.rows.sources import file_hashes, source_hash
from suite_copies import edit
from test_provenance import git

pytestmark = pytest.mark.usefixtures("forgotten")

ONE = """\
question: Mine?
rows:
- task: adding(length=8, train=32, valid=16, test=16)
  training: {epochs: 1, batch: 16}
  models: ["net.py(width=4)"]
"""
NET = '''\
"""A model that takes a number from elsewhere."""

IMPORT
from seqbench.models import gru


class Model(gru.Model):
    """A GRU that forgets."""

    def forward(self, inputs, state=None):
        return super().forward(inputs * KEEP, state)
'''
CELLS = "KEEP = 0.5\n"


@pytest.fixture(autouse=True)
def no_traces() -> Iterator[None]:
    """What a test imports is imported again by the next."""
    before = {*sys.modules}
    yield
    for name in {*sys.modules} - before:
        file = Path(getattr(sys.modules[name], "__file__", None) or sys.prefix)
        if imports.counts(file) and not name.startswith("seqbench."):
            del sys.modules[name]


def net(text: str) -> str:
    return NET.replace("IMPORT", text)


def run_in(folder: Path, text: str = ONE) -> Run:
    """The first run of an experiment."""
    write(folder, text)
    return config.load(folder).runs[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import cells", {"cells.py"}),
        ("from cells import KEEP", {"cells.py"}),
        ("from lab.cells import KEEP", {"lab/__init__.py", "lab/cells.py"}),
        ("from lab import cells", {"lab/__init__.py", "lab/cells.py"}),
        ("import lab.cells as other", {"lab/__init__.py", "lab/cells.py"}),
        ("from lab import chain", {"lab/__init__.py", "lab/chain.py", "lab/cells.py", "lab/more/deep.py"}),
        ("from plain import part", {"plain/part.py"}),
        ("def f():\n    import cells", {"cells.py"}),
        ("try:\n    import cells\nexcept ImportError:\n    pass", {"cells.py"}),
        ("import importlib\nimportlib.import_module('lab.cells')", {"lab/__init__.py", "lab/cells.py"}),
        ("from shared import x", {"up/shared.py"}),
        ("from compiled import x", {"compiled.so"}),
        ("import torch, numpy, os, sys, pandas, seqbench.models.gru, nothing_of_this_name", set()),
        ("import broken", {"broken.py"}),
    ],
)
def test_what_a_file_imports(text: str, found: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands between, at whatever depth; packages that are installed and the suite itself do not count."""
    contents = {
        "cells.py": CELLS,
        "lab/__init__.py": "",
        "lab/cells.py": CELLS,
        "lab/chain.py": "from .cells import KEEP\nfrom .more import deep",
        "lab/more/deep.py": "from .. import cells\nfrom ... import beyond",
        "plain/part.py": "",
        "up/shared.py": "",
        "broken.py": "this is no Python",
        "torch.py": "",
        "not/imported.py": "",
    }
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "compiled.so").write_bytes(b"\x7fELF")
    (tmp_path / "it.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(imports, "SUFFIXES", (".py", ".so"))
    monkeypatch.syspath_prepend(tmp_path / "up")
    files = imports.files_of(tmp_path / "it.py", [tmp_path], "seqbench", imports.on_disk, imports.installed_elsewhere)
    assert {Path(file).relative_to(tmp_path).as_posix() for file in files} == {"it.py", *found}


def test_what_a_model_imports_by_an_absolute_name_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a package of the user's beside the experiment, and from one elsewhere."""
    write(tmp_path / "elsewhere" / "there", __init__="", cells="ROUND = 1.0\n")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    folder = tmp_path / "mine"
    write(folder / "lab", __init__="", cells="from there.cells import ROUND\nKEEP = 0.5\n")
    write(folder, net=net("from lab.cells import KEEP"))
    run = run_in(folder)
    seen = [file_hashes(run)]
    own = {name for name in seen[0] if name.partition("/")[0] not in sources.ROOMS}
    assert own == {"net.py", "lab/__init__.py", "lab/cells.py", "__init__.py", "cells.py"}
    for file in (folder / "lab" / "cells.py", tmp_path / "elsewhere" / "there" / "cells.py"):
        edit(file, lambda text: text.replace("0.5", "0.6").replace("1.0", "1.1"))
        seen.append(file_hashes(run))
    assert sources.changed(seen[0], seen[1]) == ["lab/cells.py"]
    assert sources.changed(seen[1], seen[2]) == ["cells.py"]
    assert sources.files_of(run) >= {folder / "net.py", tmp_path / "elsewhere" / "there" / "cells.py"}


def test_the_file_that_is_named_counts_and_so_does_the_one_that_has_the_class(tmp_path: Path) -> None:
    """A class that a file only passes on, with a change of its own."""
    text = "from lab.net import Model\n\nModel.keep = 0.5\n"
    folder = write(tmp_path / "mine", net=text)
    write(folder / "lab", net=net("KEEP = 0.5"))
    run = run_in(folder)
    before = source_hash(run)
    for file in (folder / "net.py", folder / "lab" / "net.py"):
        edit(file, lambda text: text.replace("0.5", "0.6"))
        assert source_hash(run) != before
        before = source_hash(run)


@pytest.mark.parametrize("file", [None, "__init__.py"])
def test_a_folder_of_one_name_in_another_place_is_found_anew(file: str | None, tmp_path: Path) -> None:
    """A package that was loaded from elsewhere, whoever did it, with an `__init__.py` or without."""
    elsewhere = types.ModuleType("lab")
    elsewhere.__path__ = [str(tmp_path / "other" / "lab")]
    elsewhere.__file__ = file and str(tmp_path / "other" / "lab" / file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "lab", elsewhere)
        folder = write(tmp_path / "mine", net="from lab.net import Model\n")
        write(folder / "lab", net=net("KEEP = 0.5"))
        assert registry.find("model", "net.py", folder).__name__ == "Model"


UNICODE = "# für alle\nKEEP = 0.5\nNAME = 'für'\n"
ENCODINGS = {
    "a mark and CRLF": (UNICODE.replace("\n", "\r\n"), "utf-8-sig"),
    "a coding line": (f"# -*- coding: latin-1 -*-\n{UNICODE}", "latin-1"),
    "CR alone": (UNICODE.replace("\n", "\r"), "utf-8"),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_sources_are_read_as_python_reads_them(name: str, tmp_path: Path) -> None:
    """They are hashed without an error, and an encoding or the ends of lines change nothing of what they mean."""
    text, encoding = ENCODINGS[name]
    folder = write(tmp_path / "mine", net=net("from cells import KEEP"), cells=UNICODE)
    there = file_hashes(run_in(folder))
    (folder / "cells.py").write_bytes(text.encode(encoding))
    sources.forget()
    assert file_hashes(run_in(folder)) == there
    git(folder, "init", "-q")
    git(folder, "add", "cells.py")
    git(folder, "commit", "-q", "-m", "as it is")
    tree = trees.Commit.of(folder, git(folder, "rev-parse", "HEAD"))
    assert sources._parsed(PurePosixPath("cells.py"), tree).hash == there["cells.py"]


def test_a_model_of_another_encoding_is_trained(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    (folder / "net.py").write_bytes(f"# coding: latin-1\r\n# für\r\n{net('KEEP = 0.5')}".encode("latin-1"))
    (folder / "task.py").write_bytes(f"# für\n{TASK}".replace("\n", "\r\n").encode("utf-8-sig"))
    run_in(folder, ONE.replace("adding(", "task.py("))
    assert [row["status"] for row in sweep_in(folder).rows] == ["done"]


def test_an_experiment_with_a_mark_and_crlf_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", net=net("KEEP = 0.5"))
    there = run_in(folder).id
    (folder / "experiment.yaml").write_bytes(ONE.replace("\n", "\r\n").encode("utf-8-sig"))
    assert config.load(folder).runs[0].id == there


def test_a_neighbour_is_found_by_run_and_by_its_workers(tmp_path: Path) -> None:
    """A file is loaded as a script is: what lies beside it can be imported, at the top or later."""
    for place, text in (("top", "from cells import KEEP"), ("later", "KEEP = 1.0")):
        folder = write(tmp_path / place, cells=CELLS, net=net(text))
        if place == "later":
            edit(folder / "net.py", lambda text: text.replace("        return", "        import cells\n        return"))
        run_in(folder)
        result = sweep_in(folder)
        assert [row["status"] for row in result.rows] == ["done"], result.rows[0]["error"]
        assert set(result.rows[0]["provenance"]["source_files"]) >= {"net.py", "cells.py"}


def test_neighbours_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """In one process: each file has its own, and so has its hash."""
    for place, keep in (("a", 1), ("b", 2)):
        write(tmp_path / place / "lab", cells=f"KEEP = {keep}\n")
        write(tmp_path / place, net=net("from lab.cells import KEEP\nfrom other import ROUND"), other=f"ROUND = {keep}")
    found = {}
    for place in ("a", "b", "a"):
        module = sys.modules[registry.find("model", "net.py", tmp_path / place).__module__]
        assert (vars(module)["KEEP"], vars(module)["ROUND"]) == ((1, 1) if place == "a" else (2, 2))
        assert Path(str(sys.modules["lab.cells"].__file__)).parent.parent.name == place
        found.setdefault(place, set()).add(source_hash(run_in(tmp_path / place)))
        sources.forget()
    assert [len(found["a"]), len(found["b"]), len(found["a"] | found["b"])] == [1, 1, 2]


def test_a_neighbour_with_the_name_of_another_module_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", net=net("import random\nKEEP = 0.5"), random="")
    with pytest.raises(UsageError, match=r"net\.py: random means .*random\.py here, not its neighbour .*another name"):
        registry.find("model", "net.py", folder)
    (folder / "random.py").unlink()
    assert registry.find("model", "net.py", folder).__name__ == "Model"


def test_a_neighbour_that_is_wrong_is_loaded_again_when_it_is_mended(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "mine", net=net("from good import ROUND\nfrom cells import KEEP"), good="ROUND = 1", cells=""
    )
    for _ in range(2):
        with pytest.raises(UsageError, match=r"net\.py:\d+: ImportError: cannot import name 'KEEP'"):
            registry.find("model", "net.py", folder)
    assert "good" not in sys.modules
    (folder / "cells.py").write_text(CELLS, encoding="utf-8")
    assert registry.find("model", "net.py", folder).__name__ == "Model"


TWICE = """\
question: Which?
rows:
- task: adding(length=8, train=32)
  models: ["a/net.py(width=4)", "b/net.py(width=4)"]
- task: a/task.py(length=8, train=32)
  models: ["a/net.py(width=4)"]
- task: b/task.py(length=8, train=32)
  models: ["ABSOLUTE/net.py(width=4)"]
"""
TASK = "from seqbench.tasks import adding\n\n\nclass Task(adding.Task):\n    pass\n"


def test_two_files_of_one_name_are_two_models_and_two_tasks(tmp_path: Path) -> None:
    """By their paths within the experiment, however these are written."""
    folder = tmp_path / "mine"
    for place in ("a", "b"):
        write(folder / place, net=net("KEEP = 0.5"), task=TASK)
    write(folder, TWICE.replace("ABSOLUTE", str(folder / "b")))
    experiment = config.load(folder)
    assert len({run.id for run in experiment.runs}) == 4
    assert [cell.model for cell in experiment.cells] == ["a/net.py", "b/net.py", "a/net.py", "b/net.py"]
    assert len({cell.task for cell in experiment.cells}) == 3
    assert [run.model.name for run in experiment.runs] == ["a/net.py", "b/net.py"] * 2
    elsewhere = write(tmp_path / "moved" / "mine", (folder / "experiment.yaml").read_text(encoding="utf-8"))
    for place in ("a", "b"):
        write(elsewhere / place, net=net("KEEP = 0.5"), task=TASK)
    (elsewhere / "experiment.yaml").write_text(TWICE.replace("ABSOLUTE/", "./a/../b/"), encoding="utf-8")
    again = config.load(elsewhere)
    assert [run.id for run in again.runs] == [run.id for run in experiment.runs], "nor do ids depend on the place"


def test_two_files_of_one_name_from_elsewhere_are_refused(tmp_path: Path) -> None:
    """Of an absolute path that leads out of the experiment only the name goes into ids."""
    for place in ("a", "b"):
        write(tmp_path / place, net=net("KEEP = 0.5"))
    text = ONE.replace('["net.py(width=4)"]', f'["{tmp_path}/a/net.py(width=4)", "{tmp_path}/b/net.py(width=3)"]')
    folder = write(tmp_path / "mine", text)
    with pytest.raises(UsageError, match=r"experiment\.yaml:5: .*two files are called net\.py.*within the experiment"):
        config.load(folder)
