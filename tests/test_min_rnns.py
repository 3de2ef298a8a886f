"""minGRU, minLSTM and QRNN: the linear recurrence against the papers' equations, one step after the other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from admission import assert_learns_parity, noise
from mixing import STEPS, assert_computes, assert_stays_finite, mixer_of
from seqbench.models import mingru, minlstm, qrnn
from seqbench.models._compiling import plain
from torch import Tensor
from torch.nn import functional as F

DTYPES = [torch.float32, torch.float64]
MODELS: dict[str, Any] = {"mingru": mingru.Model, "minlstm": minlstm.Model, "qrnn": qrnn.Model}


def candidate_of(mixer: Any, values: Tensor) -> Tensor:
    return torch.where(values >= 0, values + 0.5, values.sigmoid()) if mixer.positive else values


def mingru_by_steps(mixer: Any, inputs: Tensor) -> Tensor:
    hidden, outputs = inputs.new_zeros(len(inputs), mixer.size), []
    for x in inputs.unbind(1):
        gate, values = F.linear(x, mixer.weights.weight, mixer.bias).chunk(2, 1)
        z = gate.sigmoid()
        hidden = (1 - z) * hidden + z * candidate_of(mixer, values)
        outputs.append(F.linear(hidden, mixer.down.weight))
    return torch.stack(outputs, 1)


def minlstm_by_steps(mixer: Any, inputs: Tensor) -> Tensor:
    hidden, outputs = inputs.new_zeros(len(inputs), mixer.size), []
    for x in inputs.unbind(1):
        forget, write, values = F.linear(x, mixer.weights.weight, mixer.bias).chunk(3, 1)
        f, i = forget.sigmoid(), write.sigmoid()
        hidden = f / (f + i) * hidden + i / (f + i) * candidate_of(mixer, values)
        outputs.append(F.linear(hidden, mixer.down.weight))
    return torch.stack(outputs, 1)


def qrnn_by_steps(mixer: Any, inputs: Tensor) -> Tensor:
    cell, outputs = inputs.new_zeros(len(inputs), inputs.shape[2]), []
    taps = mixer.weights.weight.chunk(mixer.kernel, 1)  # the last one meets the present input
    before = [torch.zeros_like(cell)] * (mixer.kernel - 1)
    for x in inputs.unbind(1):
        read = [*before, x]
        before = read[1:]
        values = sum((F.linear(each, tap) for each, tap in zip(read, taps, strict=True)), mixer.bias)
        z, f, *others = values.chunk(len(values[0]) // len(x[0]), 1)
        f = f.sigmoid()
        write = others[1].sigmoid() if mixer.pooling == "ifo" else 1 - f
        cell = f * cell + write * z.tanh()
        outputs.append(cell if mixer.pooling == "f" else others[0].sigmoid() * cell)
    return torch.stack(outputs, 1)


BY_STEPS = {"mingru": mingru_by_steps, "minlstm": minlstm_by_steps, "qrnn": qrnn_by_steps}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("mingru", {"expansion": 2, "forget_bias": 1.5}),
    ("mingru", {"expansion": 1, "candidate": "positive"}),
    ("minlstm", {"expansion": 2, "forget_bias": 1.5}),
    ("minlstm", {"expansion": 3, "candidate": "positive"}),
    ("qrnn", {"kernel": 2, "pooling": "fo", "forget_bias": 1.5}),
    ("qrnn", {"kernel": 3, "pooling": "ifo"}),
    ("qrnn", {"kernel": 1, "pooling": "f"}),
]


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), CASES)
def test_all_steps_at_once_give_what_the_equations_give(
    name: str, options: dict[str, Any], dtype: torch.dtype, steps: int
) -> None:
    assert_computes(mixer_of(MODELS[name], width=6, **options), BY_STEPS[name], dtype, steps)


@pytest.mark.parametrize("name", MODELS)
def test_without_kernels(name: str) -> None:
    with plain():
        assert_computes(mixer_of(MODELS[name], width=6), BY_STEPS[name], torch.float64, 37)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [30.0, 300.0])
def test_strong_gates_give_finite_gradients(name: str, size: float) -> None:
    assert_stays_finite(mixer_of(MODELS[name], width=6), size)


@pytest.mark.parametrize(
    ("name", "options", "parameters", "state"),
    [
        ("mingru", {"expansion": 2}, 3 * 12 * 6 + 2 * 12, 12),
        ("minlstm", {"expansion": 3}, 4 * 18 * 6 + 3 * 18, 18),
        ("qrnn", {"kernel": 4, "pooling": "fo"}, 3 * (4 * 36 + 6), 4 * 6),
        ("qrnn", {"kernel": 2, "pooling": "ifo"}, 4 * (2 * 36 + 6), 2 * 6),
    ],
)
def test_parameters_and_state_by_formula(name: str, options: dict[str, Any], parameters: int, state: int) -> None:
    mixer = mixer_of(MODELS[name], width=6, **options)
    assert sum(part.numel() for part in mixer.parameters()) == parameters
    assert mixer.state_size == state


@pytest.mark.parametrize("name", ["mingru", "minlstm", "qrnn"])
def test_forget_bias_keeps_more(name: str) -> None:
    kept = []
    for bias in (0.0, 3.0):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = MODELS[name](1, width=6, forget_bias=bias, inner=0).double()
        inputs = noise(8, 20, 6).requires_grad_()
        outputs, _ = model.blocks[0].mixer(inputs)
        (gradient,) = torch.autograd.grad(outputs[:, -1].square().sum(), inputs)
        kept.append(gradient[:, 8].norm() / gradient[:, -1].norm())
    assert kept[1] > 10 * kept[0]


def test_zoneout_keeps_cells_as_they_were() -> None:
    mixer: Any = mixer_of(qrnn.Model, width=6, pooling="f", zoneout=0.4).train()
    mixer.dropout.generator = torch.Generator().manual_seed(0)
    cells, _ = mixer(noise(16, 40, 6))
    same = (cells[:, 1:] == cells[:, :-1]).double().mean().item()
    assert same == pytest.approx(0.4, abs=0.03)
    cells, _ = mixer.eval()(noise(16, 40, 6))
    assert not (cells[:, 1:] == cells[:, :-1]).any()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mingru", {"expansion": 0}, "expansion: a whole number of at least 1"),
        ("minlstm", {"candidate": "log"}, "candidate: one of 'linear', 'positive'"),
        ("qrnn", {"kernel": 0}, "kernel: a whole number of at least 1"),
        ("qrnn", {"pooling": "fio"}, "pooling: one of 'f', 'fo', 'ifo'"),
        ("qrnn", {"zoneout": 1.0}, r"zoneout: a probability in \[0, 1\)"),
    ],
)
def test_options_out_of_range(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MODELS[name](3, **options)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("reads", [1, 3])
def test_what_is_read_is_the_end_of_what_is_computed(name: str, reads: int) -> None:
    mixer, inputs = mixer_of(MODELS[name], width=6), noise(2, 9, 6)
    torch.testing.assert_close(mixer.read(inputs, reads), mixer(inputs)[0][:, -reads:], rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_short_parity_is_learnt(name: str) -> None:
    assert_learns_parity(MODELS[name], width=12, layers=2)
