"""results/lecture/README.md: stations in the lecture's order, pictures that are there, commands that are true."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer
from command import seqbench
from seqbench.bench import cli
from seqbench.bench.errors import UsageError
from seqbench.bench.measuring.reach import reach
from seqbench.bench.report.figures import saving, unrolled

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "results" / "lecture" / "README.md"
TEXT = PAGE.read_text(encoding="utf-8")
COMMANDS = [line for line in TEXT.splitlines() if line.startswith("seqbench ")]
STATIONS = (
    "unrolled graph", "vanish", "Gates", "language model", "Embeddings", "both directions", "Encoder and decoder",
    "Attention", "convolutional or a recurrent",
)  # fmt: skip


def test_the_stations_stand_in_the_order_of_the_lecture_each_with_a_command() -> None:
    titles = re.findall(r"^## \d+\. (.*)$", TEXT, re.M)
    assert len(titles) == len(STATIONS)
    assert all(word in title for word, title in zip(STATIONS, titles, strict=True))
    for section in re.split(r"^## ", TEXT, flags=re.M)[1:]:
        assert "\nseqbench " in section, section.partition("\n")[0]


def test_the_pictures_are_there_and_small() -> None:
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", TEXT)
    assert len(pictures) >= 6
    for picture in pictures:
        path = PAGE.parent / picture
        assert path.is_file(), picture
        assert path.stat().st_size < 500_000
    links = re.findall(r"(?<!!)\[.+?\]\((.+?)\)", TEXT)
    assert all((PAGE.parent / link).exists() for link in links)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one_of_the_command_line(command: str) -> None:
    """Its verb and its options are known, and their values are of the right kind; nothing is run."""
    verb, *words = shlex.split(command)[1:]
    known = typer.main.get_command(cli.app).commands[verb]  # type: ignore[attr-defined]
    known.make_context(verb, words)
    folders = [
        word for word in words if word.startswith("results/") and words[max(0, words.index(word) - 1)] != "--out"
    ]
    assert all((ROOT / folder / "experiment.yaml").is_file() for folder in folders)


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.split()[1] in ("describe", "status")])
def test_quick_commands_answer(command: str) -> None:
    answer = seqbench(*shlex.split(command)[1:])
    assert answer.code == 0, answer.err
    assert answer.out.strip()


def test_the_unrolled_graph_is_drawn(tmp_path: Path) -> None:
    answer = seqbench("unrolled", "rnn", "bidirectional(cell=gru)", "--steps", 3, "--out", tmp_path)
    assert answer.code == 0, answer.err
    files = [tmp_path / name for name in ("unrolled.png", "unrolled.svg")]
    assert all(str(path) in answer.out for path in files)
    assert saving.digest_of(files[0]) == saving.digest_of(files[1])
    for words, message in ((("rn",), "rnn"), (("rnn", "--steps", "1"), "--steps")):
        refused = seqbench("unrolled", *words, "--out", tmp_path)
        assert refused.code == 2
        assert message in refused.err


def test_the_reach_of_models_is_that_of_their_graphs() -> None:
    both = reach("bidirectional(cell=rnn)", 5)
    assert (both.norms > 0).all()
    short = reach("tcn(kernel=2, levels=1)", 6).norms
    lower = np.tril(np.ones((6, 6), bool))
    assert not short[~lower].any()
    assert not short[np.subtract.outer(range(6), range(6)) > 2].any(), "beyond the receptive field of two convolutions"
    plain = reach("rnn", 5)
    assert (plain.norms[np.tril(np.ones((5, 5), bool))] > 0).all()
    assert plain.parameters == reach("rnn", 9).parameters == 16 * (4 + 16) + 2 * 16
    by_hand = reach("rnn(nonlinearity=relu)", 4).norms
    assert by_hand.shape == (4, 4)
    assert len(unrolled.draw([plain, both]).axes) == 2
    with pytest.raises(UsageError):
        reach("lstm(widht=3)", 4)
