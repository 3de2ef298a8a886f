"""The linear recurrence, minGRU, minLSTM and the LRU against published packages."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from admission import assert_alike, gradients, noise
from mixing import mixer_of
from seqbench.models import lru, mingru, minlstm
from seqbench.models._linear_recurrence import linear_recurrence
from torch import Tensor, nn


def assert_same_function(
    ours: nn.Module, theirs: nn.Module, pairs: list[tuple[Tensor, Tensor]], tolerance: float
) -> None:
    """Outputs, and gradients of inputs (3, 40, 6) and parameters, for pairs of our and their parameters."""
    inputs = noise(3, 40, 6).to(pairs[0][0].dtype).requires_grad_()
    found = []
    for which, outputs in enumerate((ours(inputs)[0], theirs(inputs))):
        found.append([outputs, *gradients(outputs, [inputs, *(pair[which] for pair in pairs)])])
    assert_alike(*found, tolerance)


def test_linear_recurrence_is_that_of_accelerated_scan() -> None:
    reference = pytest.importorskip("accelerated_scan.ref")
    decay, inputs = noise(3, 64, 6).sigmoid().requires_grad_(), noise(3, 64, 6, seed=1).requires_grad_()
    found = []
    for states in (
        linear_recurrence(decay, inputs)[0],
        reference.scan(decay.transpose(1, 2).contiguous(), inputs.transpose(1, 2).contiguous()).transpose(1, 2),
    ):
        found.append([states, *gradients(states, [decay, inputs])])
    assert_alike(*found, 1e-12)


@pytest.mark.parametrize("model", [mingru.Model, minlstm.Model], ids=["mingru", "minlstm"])
@pytest.mark.parametrize("expansion", [1, 2])
def test_min_rnns_are_those_of_the_package(model: Any, expansion: int) -> None:
    """From the state zero, and with positive candidates: the package computes from logarithms, in double precision."""
    package = pytest.importorskip("minGRU_pytorch")
    module: Any = pytest.importorskip("minGRU_pytorch.minLSTM")
    ours: Any = mixer_of(model, width=6, expansion=expansion, candidate="positive")
    if model is mingru.Model:
        theirs = package.minGRU(6, expansion_factor=expansion, proj_out=True).double()
        into = theirs.to_hidden_and_gate
    else:
        theirs = module.minLSTM(6, expansion_factor=expansion, proj_out=True).double()
        into = theirs.to_hidden_and_f_i_gate
    with torch.no_grad():
        ours.bias.zero_()  # theirs have none
        gates, candidate = ours.weights.weight.split([len(ours.bias) - ours.size, ours.size])
        into.weight.copy_(torch.cat([candidate, gates]))
        theirs.to_out.weight.copy_(ours.down.weight)
    assert_same_function(ours, theirs, [(ours.down.weight, theirs.to_out.weight)], 1e-9)


def test_lru_is_that_of_the_package() -> None:
    """Whose D is a whole matrix; before the gated output, which it does not have. It computes in single precision."""
    package: Any = pytest.importorskip("LRU_pytorch")
    ours: Any = mixer_of(lru.Model, width=6, states=5).float()
    ours.gated = nn.Identity()
    theirs: Any = package.LRU(6, 6, 5)
    real, imaginary = ours.outputs.chunk(2, 1)
    with torch.no_grad():
        theirs.D.copy_(torch.diag(ours.skip))
        theirs.B.copy_(torch.complex(*ours.inputs.chunk(2, 0)))
        theirs.C.copy_(torch.complex(real, -imaginary))
        for name, other in (("log_decay", "nu_log"), ("log_phase", "theta_log"), ("log_scale", "gamma_log")):
            getattr(theirs, other).copy_(getattr(ours, name))
    pairs = [
        (ours.log_decay, theirs.nu_log),
        (ours.log_phase, theirs.theta_log),
        (ours.log_scale, theirs.gamma_log),
    ]
    assert_same_function(ours, theirs, pairs, 1e-4)
