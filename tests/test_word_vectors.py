"""What a run has learned of words: the map, the nearest words, the verb, and how vectors are held against people."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_rows
import miniature
import numpy as np
import pytest
import torch
from command import seqbench
from scipy import stats
from seqbench.bench import word_vectors
from seqbench.bench.analysis import grid
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config
from seqbench.bench.report.figures import saving
from seqbench.bench.report.tables import experiment_table, sample_table
from seqbench.bench.trained_runs import trained_or_again
from seqbench.bench.word_vectors import WordVectors
from seqbench.tasks import ptb_word, sst2

EXPERIMENT = """\
question: What does it know of words?
seeds: 2
rows:
- task: sst2(words=20)
  training: {epochs: 1, batch: 8}
  embedding: embedding(width=5)
  models: [gru(width=3)]
- task: adding(length=6, train=32, valid=8, test=8)
  training: {epochs: 1}
  models: [gru(width=3)]
"""
GENSIM = pytest.mark.skipif(
    importlib.util.find_spec("gensim") is None, reason="the extra `embeddings` is not installed"
)
SQUARE = WordVectors(("north", "up", "east", "south", "null"), np.array([[0, 2], [0.1, 1], [3, 0], [0, -1], [0, 0.0]]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An experiment on the miniature sentences, of which nothing is trained."""
    place = tmp_path_factory.mktemp("words")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SEQBENCH_RUNS", raising=False)
        miniature.install(place / "data", patch)
        made_rows.write(place / "results" / "words", EXPERIMENT)
        yield place / "results" / "words"


def test_neighbours_are_the_nearest_by_angle() -> None:
    assert [word for word, _ in word_vectors.neighbours(SQUARE, "north", 2)] == ["up", "east"]
    near = dict(word_vectors.neighbours(SQUARE, "north", 4))
    assert near == pytest.approx({"up": 1 / np.hypot(0.1, 1), "east": 0.0, "null": 0.0, "south": -1.0})
    with pytest.raises(UsageError, match=r"no vector for the word 'nord'.*north"):
        word_vectors.neighbours(SQUARE, "nord", 2)


def test_the_map_is_that_of_the_principal_components() -> None:
    random = np.random.default_rng(1)
    matrix = random.normal(size=(9, 6)) * np.array([5, 3, 0.5, 0.1, 0.1, 0.1])
    vectors = WordVectors(tuple("abcdefghi"), matrix)
    points, share = word_vectors.projected(vectors, "abcdefghi")  # type: ignore[arg-type]  # a word a letter
    variances, axes = np.linalg.eigh(np.cov(matrix.T))
    expected = (matrix - matrix.mean(0)) @ axes[:, [-1, -2]]
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-9)
    assert share == pytest.approx(variances[-2:].sum() / variances.sum())
    again, _ = word_vectors.projected(WordVectors(vectors.words, -matrix), "abcdefghi")  # type: ignore[arg-type]
    np.testing.assert_allclose(again, points, atol=1e-9, err_msg="the sign of an axis is no matter of rounding")
    with pytest.raises(UsageError, match="three words or more, got 2"):
        word_vectors.projected(SQUARE, ["north", "up"])


def test_a_run_that_is_not_here_is_trained_again_and_kept(folder: Path) -> None:
    experiment = config.load(folder)
    run, reports = experiment.runs[0], []
    network = trained_or_again(experiment, run, lambda progress, steps: reports.append(steps))
    assert reports
    again = trained_or_again(experiment, run, lambda *_: pytest.fail("it is here"))
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), again.parameters(), strict=True))


def test_the_verb_draws_and_lists(folder: Path, tmp_path: Path) -> None:
    answer = seqbench("embedding", folder, "sst2 gru", "--words", "fox,zebra,lazy,dog", "--out", tmp_path, "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert [Path(path).name for path in found["maps"]] == ["embedding.png", "embedding.svg"]
    assert all(Path(path).stat().st_size > 1000 for path in found["maps"])
    assert len({saving.digest_of(Path(path)) for path in found["maps"]}) == 1
    assert set(found["neighbours"]["embedding"]) == {"fox", "zebra", "lazy", "dog"}
    assert all(len(near) == 5 for near in found["neighbours"]["embedding"].values())
    text = seqbench("embedding", folder, "sst2 gru", "--out", tmp_path).out
    assert "Nearest by cosine" in text
    assert "wrote " in text
    for arguments, message in (
        (("sst2 gru", "--words", "fox,zebra,hippo"), "no vector for the word 'hippo'"),
        (("sst2 gru", "--words", "fox"), "three words or more"),
        (("adding",), "'adding' means no run of words"),
    ):
        refused = seqbench("embedding", folder, *arguments, "--out", tmp_path)
        assert refused.code == 2
        assert message in refused.err
        assert refused.err.count("\n") == 1


def test_the_text_of_a_task_in_sentences(miniature_data: Path) -> None:
    task = sst2.Task(words=20)
    symbols, train, *_ = task.read()
    expected = [[word if word in symbols else "<unk>" for word in one.words] for one in train]
    assert list(word_vectors.sentences(task, 0)) == expected
    lines = list(word_vectors.sentences(ptb_word.Task(context=4, scored=4), 0))
    text = (miniature_data / "mirror" / "ptb" / "ptb.train.txt").read_text().splitlines()
    assert lines == [line.split() for line in text]


@GENSIM
def test_what_people_say_of_words_and_how_much_is_covered() -> None:
    """By hand on the words that are known; a king is to a queen as a man to a woman."""
    words = ("love", "sex", "tiger", "cat", "book", "paper", "king", "queen", "man", "woman")
    matrix = np.random.default_rng(2).normal(size=(10, 4))
    matrix[7:9] += 5
    matrix[9] = matrix[8] - matrix[6] + matrix[7]
    vectors = WordVectors(words, matrix)
    similarity, other, analogies = word_vectors.agreements(vectors)
    assert (similarity.name, similarity.all, other.all, analogies.all) == ("WordSim-353", 353, 999, 19_544)
    rated, cosines = [], []
    for line in word_vectors._lines(word_vectors.SIMILARITIES["WordSim-353"]):
        one, two, rating = line.lower().split("\t")
        if one in words and two in words:
            pair = [matrix[words.index(word)] / np.linalg.norm(matrix[words.index(word)]) for word in (one, two)]
            rated.append(float(rating))
            cosines.append(float(pair[0] @ pair[1]))
    assert similarity.used == len(rated) > 3
    assert similarity.value == pytest.approx(stats.spearmanr(rated, cosines).statistic, abs=1e-6)
    assert analogies.used >= 1
    assert analogies.value > 0
    nothing = word_vectors.agreements(WordVectors(("xyzzy", "plugh", "xyzzyx"), np.eye(3)))
    assert [one.used for one in nothing] == [0, 0, 0]
    assert all(np.isnan(one.value) for one in nothing)


@GENSIM
def test_skip_gram_learns_which_words_stand_together() -> None:
    random = np.random.default_rng(0)
    text = [
        [*random.choice(["a1", "a2", "a3"], 6)] if n % 2 else [*random.choice(["b1", "b2", "b3"], 6)]
        for n in range(900)
    ]
    text = [[str(word) for word in sentence] for sentence in text]
    one, other = (word_vectors.skip_gram(text, 8, seed=1) for _ in range(2))
    assert one.words == other.words
    assert np.array_equal(one.matrix, other.matrix)
    assert {word[0] for word, _ in word_vectors.neighbours(one, "a1", 2)} == {"a"}


def test_without_gensim_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_vectors, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'seqbench\[embeddings\]'"):
        word_vectors.agreements(SQUARE)


def test_a_share_of_test_answers_stands_with_its_binomial_interval(folder: Path) -> None:
    experiment = config.load(folder)
    cell = experiment.cells[0]
    rows: list[Any] = [made_rows.made(run, 80.0) for run in cell.runs]
    for row in rows:
        row["scores"]["best"]["test"] = {"accuracy": 80.0, "loss": 0.5}
        row["scores"]["last"]["test"] = {"accuracy": 80.0, "loss": 0.5}
    rows = [made_rows.signed(row) for row in rows]
    entries = grid.collect(experiment, rows)
    table, note = sample_table.sample_blocks(entries)
    assert isinstance(table, experiment_table.Table)
    (line,) = table.lines
    assert line[-2:] == [
        ("1,821",),
        ("80.00 [78.11–81.78]",),
    ]  # Wilson: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    assert "differ by up to 2.6 points" in str(note)
    assert not list(sample_table.sample_blocks([entry for entry in entries if entry.task.startswith("adding")]))
