"""The verbs that tell facts and hand out data, the help of every verb, and what a mistake looks like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import miniature
import numpy as np
import pytest
import torch
from command import seqbench
from seqbench.bench.cli import VERBS
from seqbench.bench.experiments import registry
from seqbench.tasks.base import Splits
from seqbench.tasks.jsb import Task as Jsb

OWN_MODEL = """\
from seqbench.models import gru


class Model(gru.Model):
    \"\"\"Mine.\"\"\"

    def __init__(self, channels: int, *, width: int = 10, layers: int = 1) -> None:
        super().__init__(channels, width=width, layers=layers)
"""


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    answer = seqbench(verb, "--help")
    assert answer.code == 0
    assert f"seqbench {verb}" in answer.out.partition("Example:")[2]


def test_help_names_every_verb() -> None:
    assert seqbench() == seqbench("--help")
    assert seqbench().code == 0
    assert {line.split()[0] for line in seqbench().out.partition("Commands:")[2].splitlines() if line.strip()} >= set(
        VERBS
    )


def test_list() -> None:
    listed = seqbench("list", "--json").json
    assert set(listed) == {"tasks", "models"}
    for kind in ("task", "model"):
        assert [entry["name"] for entry in listed[f"{kind}s"]] == list(registry.listing(kind))
        assert all(set(entry) == {"name", "line", "source", "variants"} for entry in listed[f"{kind}s"])
    text = seqbench("list").out
    for kind in ("task", "model"):
        for entry in registry.listing(kind).values():
            assert entry.name in text
            assert all(variant in text for variant in entry.variants)


def test_describe_a_tcn() -> None:
    facts = seqbench("describe", "adding(length=600)", "tcn(kernel=8,levels=8,width=24)", "--json").json
    assert (facts["parameters"], facts["receptive_field"], facts["width"]) == (70_369, 3571, 24)
    # Two convolutions a level over 24 channels, the first one from 2, and the 1x1 beside it; the head reads one step.
    macs = 8 * (2 * 24 + 24 * 24) + 2 * 24 + 7 * 2 * 8 * 24 * 24
    assert facts["macs_per_step"] == macs
    assert facts["macs_per_sequence"] == 600 * macs + 24
    assert facts["head_macs_per_read"] == 24
    assert facts["state_size"] == 7 * (2 + 24) + sum(2 * 24 * 7 * 2**level for level in range(1, 8))
    assert facts["shapes"] == {"inputs": ["B", 600, 2], "features": ["B", 600, 24], "outputs": ["B", 1, 1]}
    assert (facts["metric"], facts["floor"]) == ("mse", pytest.approx(1 / 6))
    assert facts["metrics"][0]["solved_at"] == 1e-3
    assert facts["task_options"]["marks"] == "anywhere"
    assert facts["model_options"]["kernel"] == 8
    assert "2018" in facts["model_source"]


def test_describe_a_recurrent_network_of_a_size() -> None:
    facts = seqbench("describe", "adding(length=600)", "lstm", "--parameters", 70369, "--json").json
    assert (facts["width"], facts["parameters"], facts["receptive_field"]) == (131, 70_872, None)
    assert facts["state_size"] == 2 * 131
    assert facts["macs_per_sequence"] == 600 * 4 * 131 * (2 + 131) + 131
    assert facts["model"] == "lstm"


def test_describe_where_every_step_is_read() -> None:
    facts = seqbench("describe", "copy-memory(delay=5)", "rnn(width=3)", "--head", "linear(std=0.01)", "--json").json
    assert facts["macs_per_sequence"] == 25 * 3 * (1 + 3) + 25 * 3 * 10
    assert facts["shapes"]["outputs"] == ["B", 25, 10]
    assert facts["head"] == "linear(std=0.01)"


def test_describe_for_a_reader() -> None:
    text = seqbench("describe", "adding(length=600)", "lstm", "--parameters", 70369).out
    for word in ("70,872", "adding(length=600)", "mse", "0.1666", "Hochreiter"):
        assert word in text


@pytest.mark.parametrize("named", ["my_model.py", "./my_model.py:Model", "{folder}/my_model.py"])
def test_describe_a_users_model(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_model.py").write_text(OWN_MODEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    facts = seqbench(
        "describe", "adding", named.format(folder=tmp_path), "--parameters", 1000, "--tolerance", 0.1, "--json"
    )
    assert facts.json["model"].startswith("my_model.py")
    assert facts.json["parameters"] == pytest.approx(1000, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("describe ading lstm", "unknown task 'ading': did you mean 'adding'?"),
        ("describe adding lstn", "unknown model 'lstn': did you mean 'lstm'?"),
        ("describe adding(lenght=5) lstm", "task adding has no option 'lenght': did you mean 'length'?"),
        ("describe adding lstm(width=wide)", "model lstm: width=wide: a whole number is needed"),
        ("describe adding lstm(width=0)", "width: a whole number of at least 1 is needed, got 0"),
        ("describe adding tcn(kernel=5", "cannot read 'tcn(kernel=5': the notation is name or name(key=value, …)"),
        ("describe adding missing.py", "no file missing.py"),
        ("describe adding lstm --head lineal", "unknown head 'lineal': did you mean 'linear'?"),
        ("describe adding lstm --parameters 3", "no width comes within 1.0% of 3 parameters: 1 gives "),
        ("describe adding lstm --parameters 0", "Invalid value for '--parameters'"),
        ("describe adding lstm --parameters many", "Invalid value for '--parameters'"),
        ("describe adding lstm --tolerance -1", "Invalid value for '--tolerance'"),
        ("describe adding", "Missing argument 'model'"),
        ("describe adding lstm gru", "unexpected extra argument"),
        ("describe adding lstm --jsn", "No such option: --jsn"),
        ("descibe adding lstm", "No such command 'descibe'"),
        ("list --jason", "No such option: --jason"),
        ("fetch ading", "unknown task 'ading': did you mean 'adding'?"),
        (
            "export adding(length=1000000000) --out a.npz",
            "adding(length=1000000000): its data need 387,430 GiB of memory, and ",
        ),
        ("describe adding lstm(layers=100000)", "layers: at most 1000 are allowed, got 100000"),
        (
            "run results/quick --dry-run --seeds 0-999999999",
            "--seeds 0-999999999: 1,000,000,000 seeds; an experiment has",
        ),
        (f"run results/quick --dry-run --seeds {10**20}", f"--seeds {10**20}: numbers and spans are needed"),
        (f"run results/quick --dry-run --threads {10**20}", "Invalid value for '--threads'"),
        (f"run results/quick --dry-run --seeds {'9' * 5000}", f"--seeds {'9' * 60}…: numbers and spans are needed"),
        (
            f"run results/quick --dry-run --jobs {'9' * 5000}",
            f"Invalid value for '--jobs': {'9' * 20}: a number from 1 to",
        ),
        ("export adding --out adding.csv", "--out adding.csv: a file name that ends in .npz is needed"),
        ("export adding", "Missing option '--out'"),
        ("export adding --out a.npz --seed -1", "Invalid value for '--seed'"),
        ("export adding(length=1) --out a.npz", "adding: length must be 2 or more, got 1"),
        ("run results/quik", "no such experiment; did you mean 'results/quick'?"),
        ("run {here}", "no experiment.yaml there"),
        ("table results/quick --format html", "Invalid value for '--format'"),
        ("table results/quick --device gpu", "Invalid value for '--device'"),
        ("status", "Missing argument 'DIR'"),
        ("run results/quick --device tpu", "--device tpu: cpu, cuda or auto is needed"),
        ("run results/quick --jobs 0", "Invalid value for '--jobs'"),
        ("run results/quick --for -1", "Invalid value for '--for'"),
        (
            "run results/quick --only nothing",
            "--only 'nothing': no run of results/quick has that in its label or begins",
        ),
        *(
            (f"run results/quick --dry-run --seeds {seeds}", f"--seeds {seeds.strip()}: numbers and spans are needed")
            for seeds in ("a", "1-", "-1", "5-3", "1-2-3", "1,,2", "1.5")
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = seqbench(*(word.format(here=tmp_path) for word in arguments.split()))
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("seqbench: ")
    assert answer.err.count("\n") == 1
    assert message in answer.err
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "seqbench.bench.cli", "lsit"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("seqbench: No such command 'lsit'")
    assert ended.stderr.count("\n") == 1


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(kind: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "listing", interrupted)
    assert seqbench("list").code == 130


@pytest.mark.usefixtures("miniature_data")
def test_fetch() -> None:
    answer = seqbench("fetch", "jsb", "sequential-mnist", "adding", "--json")
    assert answer.code == 0
    files = answer.json["files"]
    assert set(files) == {
        remote.filename for name in ("jsb", "sequential-mnist") for remote in registry.find("task", name).remotes
    }
    assert all(Path(facts["path"]).is_file() and len(facts["sha256"]) == 64 for facts in files.values())
    assert "music/JSB_Chorales.mat" in seqbench("fetch", "jsb").out
    assert "generated" in seqbench("fetch", "adding").out
    every = {remote.filename for name in registry.listing("task") for remote in registry.find("task", name).remotes}
    assert set(seqbench("fetch", "--json").json["files"]) == every  # of all tasks, each file once
    assert len(every) == 20


@pytest.mark.usefixtures("miniature_data")
def test_fetch_what_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("SEQBENCH_MIRROR", str(tmp_path))
    answer = seqbench("fetch", "jsb", "adding", "--json")
    assert answer.code == 1
    assert set(answer.json["failed"]) == {"music/JSB_Chorales.mat"}
    assert "JSB_Chorales.mat" in answer.err.partition("seqbench: ")[2].splitlines()[0]
    export = seqbench("export", "jsb", "--out", tmp_path / "jsb.npz")
    assert export.code != 0
    assert export.err.startswith("seqbench: ")
    assert export.err.count("\n") == 1
    assert not list(tmp_path.rglob("*.npz"))


def exported(folder: Path, task: str, **options: Any) -> dict[str, Any]:
    """The arrays that `export` writes, read as anyone may: without pickle."""
    out = folder / "data.npz"
    answer = seqbench("export", task, "--out", out, *(f"--{key}={value}" for key, value in options.items()))
    assert answer.code == 0, answer.err
    with np.load(out) as file:
        arrays = dict(file)
    assert answer.out.splitlines() == [f"{name}  {array.shape}" for name, array in arrays.items()]
    assert [path.name for path in folder.iterdir()] == ["data.npz"]
    return arrays


def test_export_where_the_last_step_is_read(tmp_path: Path) -> None:
    arrays = exported(tmp_path, "adding(length=20, train=8, valid=4, test=3)", seed=5)
    shapes = {"train_x": (8, 20, 2), "train_y": (8,), "valid_x": (4, 20, 2), "valid_y": (4,)}
    assert {name: array.shape for name, array in arrays.items()} == shapes | {"test_x": (3, 20, 2), "test_y": (3,)}
    sums = (arrays["train_x"][:, :, 0] * arrays["train_x"][:, :, 1]).sum(1)
    np.testing.assert_allclose(arrays["train_y"], sums, rtol=1e-6)
    other = exported(tmp_path, "adding(length=20, train=8, valid=4, test=3)", seed=6)
    assert (other["train_x"] != arrays["train_x"]).any()
    assert (other["test_x"] == arrays["test_x"]).all()


def test_export_where_every_step_is_read(tmp_path: Path) -> None:
    arrays = exported(tmp_path, "copy-memory(delay=5, train=8, valid=4, test=3)")
    assert arrays["train_x"].shape == (8, 25, 1)
    assert arrays["train_mask"].shape == arrays["train_y"].shape == (8, 25)
    assert arrays["train_mask"].dtype == bool
    assert all(arrays[f"{split}_mask"].all() for split in Splits._fields)


@pytest.mark.usefixtures("miniature_data")
def test_export_of_sequences_of_differing_length(tmp_path: Path) -> None:
    arrays = exported(tmp_path, "jsb")
    for name, split in Jsb().load(0)._asdict().items():
        mask, lengths = arrays[f"{name}_mask"], split.lengths
        assert mask.shape == (len(split), int(lengths.max()))
        assert mask.sum(1).tolist() == lengths.tolist()
        assert len(set(lengths.tolist())) > 1
        for place, length in enumerate(lengths.tolist()):
            piece = split.batch(torch.tensor([place]))
            for part, whole in (("x", piece.inputs), ("y", piece.targets)):
                row = arrays[f"{name}_{part}"][place]
                assert (row[:length] == whole[0].numpy()).all()
                assert not row[length:].any()
            assert mask[place, :length].all()


def test_a_failing_export_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = exported(tmp_path, "adding(length=20, train=8, valid=4, test=3)")

    def failing(file: BinaryIO, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device", file.name)

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", failing)
        answer = seqbench("export", "adding(length=30, train=8)", "--out", tmp_path / "data.npz")
    assert answer.code == 1
    assert answer.err.startswith("seqbench: No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]
    with np.load(tmp_path / "data.npz") as file:
        assert all((file[name] == array).all() for name, array in before.items())
    answer = seqbench("export", "adding(length=30, train=8)", "--out", tmp_path / "no" / "data.npz")
    assert (answer.code, answer.err.count("\n")) == (1, 1)
    assert "No such file or directory" in answer.err


@pytest.mark.usefixtures("miniature_data")
def test_export_of_a_text(tmp_path: Path) -> None:
    arrays = exported(tmp_path, "ptb-char")
    assert list(arrays) == ["symbols", "train_ids", "valid_ids", "test_ids"]
    payload = miniature.files()["ptb/ptb.test.txt"].decode()
    assert "".join(arrays["symbols"][arrays["test_ids"]]) == f"\n{payload}"  # a line has ended before the text


@pytest.mark.usefixtures("miniature_data")
def test_export_of_passages(tmp_path: Path) -> None:
    arrays = exported(tmp_path, "lambada")
    x, y, read = (arrays[f"test_{part}"] for part in ("x", "y", "read"))
    symbols = arrays["symbols"].tolist()
    assert {int(group) for group in arrays["test_group"].ravel()} == {0, 1}
    for inputs, target, step, known in zip(x, y[:, 0], read[:, 0], arrays["test_mask"][:, 0], strict=True):
        assert symbols[inputs[0]] == "<eos>"  # and then the words up to the one that is asked for
        assert "<eos>" not in [symbols[one] for one in inputs[1 : step + 1]]
        assert known == (symbols[target] != "<unk>")
