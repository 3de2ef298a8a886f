"""Training on texts: truncated backpropagation written out by hand, the order of windows, what is kept of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from experiments import TinyText, bits, measured, rows_of, sweep_in, write
from seqbench.bench import api
from seqbench.bench.engine.checkpoint import Checkpoint
from seqbench.bench.engine.training import train
from seqbench.bench.experiments import config, runs
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows.store import Workplace
from seqbench.models.network import Network
from seqbench.tasks._windows import Windows
from seqbench.tasks.base import Batch
from torch import Tensor, nn
from torch.nn import functional as F

TASK = "experiments:TinyText"
FAST = {"optimizer": "sgd", "learning_rate": 0.5, "clip": 0.5}


def make_run(model: str = "lstm(width=6)", task: str = TASK, **settings: Any) -> Run:
    return api.make_run(task, model, **{"epochs": 2, "batch": 4, **settings})


pytestmark = pytest.mark.usefixtures("thread")  # as in training, so that an evaluation here has the same bits


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.pt"


def last_weights(run: Run, file: Path) -> dict[str, Tensor]:
    """The parameters after the last step, which only the checkpoint has."""
    with Checkpoint(file) as kept:
        train(run, checkpoint=kept)
        saved = kept.load(torch.device("cpu"))
    assert saved is not None
    weights: dict[str, Tensor] = saved["network"]
    return weights


def windows_of(task: TinyText, streams: int) -> tuple[Tensor, list[list[int]]]:
    """The training text (N + 1,), and where the windows of each step begin, stream by stream."""
    ids = torch.from_numpy(task.encoded().texts["train"][: (task.train or 0) + 1]).long()
    chunk = (len(ids) - 1 - task.context) // streams
    starts = range(0, chunk - task.scored + 1, task.scored)
    return ids, [[stream * chunk + start for stream in range(streams)] for start in starts]


class Plain(nn.Module):
    """An embedding, PyTorch's own stack of recurrent layers, and a matrix over symbols."""

    def __init__(self, cell: Any, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.cell = cell(4, width, num_layers=layers, batch_first=True)
        self.linear = nn.Linear(width, 7)


def copied(weights: dict[str, Tensor], plain: Plain) -> list[tuple[Tensor, Tensor]]:
    """Our parameter beside each one of the plain network."""
    pairs = [(weights["embedding.weight"], plain.embedding.weight)]
    pairs += [(weights[f"head.linear.{name}"], getattr(plain.linear, name)) for name in ("weight", "bias")]
    for name, parameter in plain.cell.named_parameters():
        kind, layer = name.rsplit("_l", 1)
        pairs.append((weights[f"body.cells.{layer}.{kind}_l0"], parameter))
    return pairs


@pytest.mark.parametrize(("context", "scored", "streams"), [(3, 4, 4), (0, 5, 1), (6, 2, 7)])
@pytest.mark.parametrize(
    ("model", "cell"),
    [("lstm(width=6, layers=2)", nn.LSTM), ("gru(width=6)", nn.GRU), ("rnn(width=6)", nn.RNN)],
    ids=["lstm", "gru", "rnn"],
)
def test_a_recurrent_net_is_trained_as_by_hand(
    model: str, cell: Any, context: int, scored: int, streams: int, file: Path
) -> None:
    """The state goes from window to window, without a gradient, and starts anew with each epoch."""
    run = make_run(model, f"{TASK}(context={context}, scored={scored})", batch=streams, **FAST)
    plain = Plain(cell, 6, 2 if "layers" in model else 1)
    with torch.no_grad():
        for ours, theirs in copied(run.make_network(run.make_task()).state_dict(), plain):
            theirs.copy_(ours)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.5)
    ids, steps = windows_of(TinyText(context, scored), streams)
    assert len(steps) > 4
    for _ in range(2):
        state = None
        for begins in steps:
            skipped = 0 if state is None else context
            inputs = torch.stack([ids[begin + skipped : begin + context + scored] for begin in begins])
            targets = torch.stack([ids[begin + context + 1 : begin + context + scored + 1] for begin in begins])
            features, state = plain.cell(plain.embedding(inputs), state)
            loss = F.cross_entropy(plain.linear(features[:, -scored:]).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
            optimizer.step()
            state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
    for ours, theirs in copied(last_weights(run, file), plain):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_a_tcn_is_trained_on_overlapping_windows_as_by_hand(file: Path) -> None:
    run = make_run("tcn(kernel=2, levels=3, width=6)", **FAST)
    network = run.make_network(run.make_task())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    ids, steps = windows_of(TinyText(), 4)
    for begins in steps + steps:
        windows = torch.stack([ids[begin : begin + 8] for begin in begins])
        features, _ = network.body(network.embedding(windows[:, :7]))  # type: ignore[misc]
        logits = network.head.linear(features[:, 3:])  # type: ignore[union-attr]
        loss = F.cross_entropy(logits.flatten(0, 1), windows[:, 4:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
    for name, ours in last_weights(run, file).items():
        torch.testing.assert_close(ours, network.state_dict()[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", ["lstm(width=6)", "tcn(kernel=2, levels=2, width=6)"])
def test_what_the_body_is_shown(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that carries its state reads the first window whole and of the others only what is new."""
    shown: list[tuple[int, int, bool]] = []
    forward = Network.forward

    def watched(self: Network, inputs: Tensor, state: Any = None, reads: Any = None) -> Any:
        if self.training:
            shown.append((*inputs.shape, state is None))  # type: ignore[arg-type]
        return forward(self, inputs, state, reads)

    def watched_whole(self: Network, inputs: Tensor, reads: Any = None, *rest: Any) -> Any:
        if self.training:
            shown.append((*inputs.shape, True))  # type: ignore[arg-type]
        return read(self, inputs, reads, *rest)

    read = Network.read
    monkeypatch.setattr(Network, "forward", watched)
    monkeypatch.setattr(Network, "read", watched_whole)
    train(make_run(model))
    epoch = [(4, 7, True), *[(4, 4, False)] * 8] if model.startswith("lstm") else [(4, 7, True)] * 9
    assert shown == 2 * epoch


def test_windows_are_never_shuffled(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    batch = Windows.batch

    def watched(self: Windows, index: Tensor) -> Batch:
        if not self.whole:
            assert (self.streams, len(index)) == (4, 4), "as many streams as a batch has examples"
            seen.extend(index.tolist())
        return batch(self, index)

    monkeypatch.setattr(Windows, "batch", watched)
    for seed in (0, 1):
        seen.clear()
        train(make_run("tcn(kernel=2, levels=1, width=2)", seed=seed))
        assert seen == 2 * list(range(36))


def test_more_streams_than_the_text_has_windows() -> None:
    with pytest.raises(ValueError, match="37 streams leave no full window of 4 tokens each; 36 streams are the most"):
        train(make_run(batch=37))
    assert train(make_run(batch=36)).status == "done"


TEXTS = """\
question: What is kept?
rows:
- task: my_text.py
  training: {epochs: 3, batch: 3, learning_rate: 0.03}
  models: [lstm(width=24)]
- task: adding(length=8, train=32, valid=8, test=8)
  training: {epochs: 1}
  models: [gru(width=3)]
"""
MY_TEXT = (
    f"import sys\n\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom experiments import TinyText as Task\n"
)


def test_a_sweep_keeps_the_best_network_of_a_text(tmp_path: Path) -> None:
    """A person will want to see what it writes; of other tasks only the row is kept."""
    folder = write(tmp_path / "texts", TEXTS, my_text=MY_TEXT)
    assert sweep_in(folder).exit_code == 0
    rows = {row["config"]["task"]["name"]: row for row in rows_of(folder)}
    text, numbers = rows["my_text.py"], rows["adding"]
    (run, _) = config.load(folder).runs
    here = train(run)
    assert here.scores["best"]["epoch"] < 3, "the last network would be another one"
    assert measured(text) == measured(vars(here) | vars(here.progress))
    assert text["yardsticks"] == [{"name": "uniform", "scores": {"bpc": pytest.approx(2.807, abs=1e-3)}}]
    assert not numbers.get("yardsticks")
    place = Workplace(folder)
    saved = Checkpoint(place.trained(text["id"], "cpu")).load(torch.device("cpu"))
    assert saved is not None
    assert list(saved["network"]) == list(here.network.state_dict())
    assert bits([*saved["network"].values()]) == bits([*here.network.state_dict().values()])
    assert not place.trained(numbers["id"], "cpu").exists()
    assert runs.from_config(json.loads(json.dumps(text["config"])), folder) == run
