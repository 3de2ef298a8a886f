"""What stands beside the reference where it is asked for: the same step by torch.compile, and in JAX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from experiments import write
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config
from seqbench.bench.experiments.runs import Run
from seqbench.bench.measuring import jax_peer, turns
from seqbench.bench.measuring.shapes import Case
from seqbench.bench.measuring.variants import Plain
from seqbench.bench.report.tables import speed_table, writers

CPU = torch.device("cpu")
TEXT = """\
question: q
training: {batch: 4, optimizer: adam, clip: 1.0}
rows:
- task: TASK
  models: [MODEL]
"""
ADDING, COPY = "adding(length=6, train=16, valid=2, test=2)", "copy-memory(delay=3, train=16, valid=2, test=2)"
MODELS = ["rnn(width=5)", "lstm(width=5, layers=2)", "gru(width=5)", "tcn(width=5, kernel=3, levels=2)"]


def run_of(place: Path, task: str, model: str) -> Run:
    return config.load(write(place / "x", TEXT.replace("TASK", task).replace("MODEL", f'"{model}"'))).runs[0]


def test_the_reference_is_compiled_where_that_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling itself takes half a minute; that it is asked for, and that steps go through it, is seen here."""
    called = []

    def compiled(function: Callable[..., Any], *arguments: Any, **named: Any) -> Callable[..., Any]:
        def counted(*given: Any, **more: Any) -> Any:
            called.append(1)
            return function(*given, **more)

        return counted

    monkeypatch.setattr(torch, "compile", compiled)
    run = run_of(tmp_path, ADDING, "gru(width=4)")
    Plain(run, CPU).go(2)
    assert not called
    Plain(run, CPU, compiled=True).go(2)
    assert len(called) == 2


def test_peers_stand_in_the_row_and_in_the_table(tmp_path: Path) -> None:
    run = run_of(tmp_path, ADDING, "gru(width=4)")
    trial = turns.Trial.__new__(turns.Trial)
    trial.times = {"ours": [1.0, 1.0], "defaults": [2.0], "flushed": [2.0], "compile": [3.0], "jax": []}
    trial.streamed, trial.facts, trial.evaluations = {}, {}, []
    trial.errors = ["JAX: UsageError: JAX is not installed: pip install jax"]
    row = turns.row_of(Case(run, tmp_path, large=False), trial, {})
    assert (row["compile_ms"], row["ratio_compile"], row["jax_ms"], row["ratio_jax"]) == (3.0, 3.0, None, None)
    text = writers.markdown(speed_table.blocks({"machine": {}, "rows": [row]}))
    assert "Ratio, torch.compile" in text
    assert "JAX is not installed" in text
    del trial.times["compile"], trial.times["jax"]
    assert not {"compile_ms", "jax_ms"} & turns.row_of(Case(run, tmp_path, large=False), trial, {}).keys()


def test_without_jax_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax_peer, "jax", None)
    with pytest.raises(UsageError, match="pip install jax"):
        jax_peer.JaxSteps(run_of(tmp_path, ADDING, "gru(width=4)"), CPU)


@pytest.mark.skipif(jax_peer.jax is None, reason="JAX is not installed")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("task", [ADDING, COPY])
def test_a_step_in_jax_is_the_reference_s_step(task: str, model: str, tmp_path: Path) -> None:
    """Loss, outputs and gradients of the first batch, and the parameters after two steps of Adam with a clip."""
    run = run_of(tmp_path, task, model)
    steps, plain = jax_peer.JaxSteps(run, CPU), Plain(run, CPU)
    batch = plain.batches[0]
    outputs, _ = plain.reference(batch.inputs)
    loss = plain.reference.loss(outputs, batch, plain.task)
    loss.backward()
    theirs, slopes = jax_peer.jax.value_and_grad(steps.loss_of)(steps.parameters, *steps.batches[0])
    assert float(theirs) == pytest.approx(float(loss.detach()), rel=1e-5)
    for leaf, slope in zip(jax_peer.parameters_of(plain.reference)["head"], ("weight", "bias"), strict=True):
        own = getattr(plain.reference.head, slope).grad
        torch.testing.assert_close(torch.tensor(slopes["head"][leaf].tolist()), own, rtol=1e-4, atol=1e-6)
    first: Any = next(iter(plain.reference.body.parameters())).grad
    found = [leaf for leaf in jax_peer.jax.tree.leaves(slopes) if leaf.shape == tuple(first.shape)]
    assert any(torch.allclose(torch.tensor(leaf.tolist()), first, rtol=1e-4, atol=1e-6) for leaf in found)
    before = jax_peer.jax.tree.map(lambda leaf: leaf.tolist(), steps.parameters)
    steps.go(3)
    assert jax_peer.jax.tree.map(lambda leaf: leaf.tolist(), steps.parameters) == before, "the rate is zero"


@pytest.mark.skipif(jax_peer.jax is None, reason="JAX is not installed")
@pytest.mark.parametrize(
    ("task", "model", "why"),
    [
        (ADDING, "tcn(width=5, kernel=3, levels=2, dropout=0.1)", "it has dropout"),
        (ADDING, "mingru(width=8)", "its layers are neither"),
    ],
)
def test_what_would_be_another_step_is_refused(task: str, model: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=why):
        jax_peer.JaxSteps(run_of(tmp_path, task, model), CPU)
