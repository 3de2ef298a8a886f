"""S4D and LRU: chunks and scans against the papers' equations in complex numbers, one step after the other."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from admission import assert_learns_parity, noise
from mixing import STEPS, assert_computes, assert_stays_finite, mixer_of
from seqbench.models import lru, s4d
from seqbench.models._compiling import plain
from seqbench.models.network import Network
from torch import Tensor
from torch.nn import functional as F

DTYPES = [torch.float32, torch.float64]
MODELS: dict[str, Any] = {"s4d": s4d.Model, "lru": lru.Model}


def gated(mixer: Any, states: Tensor) -> Tensor:
    u, v = F.linear(F.gelu(states), mixer.gated.weights.weight, mixer.gated.bias).chunk(2, -1)
    return u * v.sigmoid()


def s4d_by_steps(mixer: Any, inputs: Tensor) -> Tensor:
    half = mixer.frequency.shape[1]
    eigenvalues = torch.complex(-mixer.log_decay.exp(), mixer.frequency)  # A (W, N/2)
    growth = (mixer.log_dt.exp().unsqueeze(1) * eigenvalues).exp()
    held = (growth - 1) / eigenvalues
    read = torch.complex(mixer.outputs[:, :half], mixer.outputs[:, half:])
    state, outputs = torch.zeros_like(eigenvalues), []
    for u in inputs.unbind(1):
        state = growth * state + held * u.unsqueeze(2)  # (B, W, N/2)
        outputs.append(2 * (read * state).real.sum(2) + mixer.skip * u)
    return gated(mixer, torch.stack(outputs, 1))


def lru_by_steps(mixer: Any, inputs: Tensor) -> Tensor:
    eigenvalues = torch.exp(torch.complex(-mixer.log_decay.exp(), mixer.log_phase.exp()))  # λ (N,)
    into = torch.complex(*mixer.inputs.chunk(2, 0))  # B (N, W)
    real, imaginary = mixer.outputs.chunk(2, 1)
    out_of = torch.complex(real, -imaginary)  # C (W, N)
    state, outputs = torch.zeros_like(eigenvalues), []
    for x in inputs.unbind(1):
        state = eigenvalues * state + mixer.log_scale.exp() * (x.to(into.dtype) @ into.t())
        outputs.append((state @ out_of.t()).real + mixer.skip * x)
    return gated(mixer, torch.stack(outputs, 1))


BY_STEPS = {"s4d": s4d_by_steps, "lru": lru_by_steps}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("s4d", {"states": 8}),
    ("s4d", {"states": 2, "initialization": "inv", "dt_min": 0.1, "dt_max": 1.0}),
    ("lru", {"states": 5}),
    ("lru", {"states": 8, "r_min": 0.9, "max_phase": math.pi / 10}),
]


@pytest.mark.parametrize("steps", [*STEPS, 150])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_all_steps_at_once_give_what_the_equations_give(
    name: str, options: dict[str, Any], dtype: torch.dtype, steps: int
) -> None:
    assert_computes(mixer_of(MODELS[name], width=6, **options), BY_STEPS[name], dtype, steps)


@pytest.mark.parametrize("name", MODELS)
def test_without_kernels(name: str) -> None:
    with plain():
        assert_computes(mixer_of(MODELS[name], width=6, states=8), BY_STEPS[name], torch.float64, 37)


@pytest.mark.parametrize("name", MODELS)
def test_large_inputs_give_finite_gradients(name: str) -> None:
    assert_stays_finite(mixer_of(MODELS[name], width=6, states=8), 300.0)


@pytest.mark.parametrize(
    ("name", "parameters", "state"),
    [
        ("s4d", 2 * 36 + 2 * 6 * 10 + 4 * 6, 6 * 10),
        ("lru", 4 * 10 * 6 + 3 * 10 + 6 + 2 * 36 + 2 * 6, 2 * 10),
    ],
)
def test_parameters_and_state_by_formula(name: str, parameters: int, state: int) -> None:
    mixer = mixer_of(MODELS[name], width=6, states=10)
    assert sum(part.numel() for part in mixer.parameters()) == parameters  # complex ones count as two
    assert not any(part.is_complex() for part in mixer.parameters())
    assert mixer.state_size == state


def test_eigenvalues_of_lru_start_on_the_ring() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mixer: Any = lru.Model(3, states=4000, width=2, r_min=0.5, r_max=0.9, max_phase=1.0).blocks[0].mixer
    size, phase = (-mixer.log_decay.exp()).exp(), mixer.log_phase.exp()
    assert size.min() >= 0.5 - 1e-5
    assert size.max() <= 0.9 + 1e-5
    assert size.square().mean().item() == pytest.approx((0.25 + 0.81) / 2, rel=0.01)  # uniform on the ring
    assert phase.max() <= 1
    assert phase.mean().item() == pytest.approx(0.5, rel=0.05)
    torch.testing.assert_close(mixer.log_scale.exp(), (1 - size.square()).sqrt(), rtol=1e-4, atol=1e-4)


def test_eigenvalues_of_s4d_start_as_the_paper_has_them() -> None:
    for initialization, expected in (
        ("lin", [0.0, math.pi, 2 * math.pi]),
        ("inv", [30 / math.pi, 6 / math.pi, 1.2 / math.pi]),
    ):
        mixer: Any = s4d.Model(3, states=6, width=500, initialization=initialization, dt_min=0.01, dt_max=0.1)
        mixer = mixer.blocks[0].mixer
        torch.testing.assert_close(mixer.frequency[7], torch.tensor(expected))
        torch.testing.assert_close(mixer.log_decay.exp(), torch.full((500, 3), 0.5))
        assert 0.01 <= mixer.log_dt.exp().min() <= 0.011
        assert 0.09 <= mixer.log_dt.exp().max() <= 0.1


@pytest.mark.parametrize(
    ("name", "slow"),
    [("s4d", {"log_dt", "log_decay", "frequency"}), ("lru", {"log_decay", "log_phase", "log_scale", "inputs"})],
)
def test_what_makes_the_states_is_trained_slowly_and_without_weight_decay(name: str, slow: set[str]) -> None:
    model = MODELS[name](3, width=6, states=8, layers=2, learning_rate_factor=0.2)
    network = Network(model, torch.nn.Linear(6, 1), None)  # type: ignore[arg-type]
    name_of = {id(parameter): key.rpartition(".")[2] for key, parameter in model.named_parameters()}
    groups = [group for group in network.parameter_groups() if group.learning_rate_factor != 1]
    assert [{name_of[id(part)] for part in group.parameters} for group in groups] == [slow, slow]
    assert {(group.learning_rate_factor, group.decays) for group in groups} == {(0.2, False)}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("s4d", {"states": 7}, "states: an even number is needed, got 7; the nearest are 6 and 8"),
        ("s4d", {"initialization": "legs"}, "initialization: one of 'lin', 'inv'"),
        ("s4d", {"dt_min": 0.1, "dt_max": 0.01}, "dt_min, dt_max: 0 < dt_min ≤ dt_max"),
        ("lru", {"r_min": 1.0}, "r_min, r_max: 0 ≤ r_min < r_max ≤ 1"),
        ("lru", {"max_phase": 0.0}, "max_phase: an angle"),
        ("lru", {"learning_rate_factor": -1.0}, "learning_rate_factor: at least 0"),
        ("lru", {"states": 0}, "states: a whole number of at least 1"),
    ],
)
def test_options_out_of_range(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MODELS[name](3, **options)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("reads", [1, 3])
def test_what_is_read_is_the_end_of_what_is_computed(name: str, reads: int) -> None:
    mixer, inputs = mixer_of(MODELS[name], width=6, states=8), noise(2, 9, 6)
    torch.testing.assert_close(mixer.read(inputs, reads), mixer(inputs)[0][:, -reads:], rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_short_parity_is_learnt(name: str) -> None:
    assert_learns_parity(MODELS[name], width=12, layers=2, states=8)
