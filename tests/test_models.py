"""Known answers about the four architectures: initial weights, special cases, messages, the whole network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from seqbench.models import _compiling, gru, heads, lstm, network, rnn, tcn
from torch import nn

CLASSES: dict[str, Any] = {"rnn": rnn.Model, "lstm": lstm.Model, "gru": gru.Model, "tcn": tcn.Model}
RECURRENT = ("rnn", "lstm", "gru")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(20180304)
        yield


# Initial weights.


@pytest.mark.parametrize(("name", "cell"), [("rnn", nn.RNN), ("lstm", nn.LSTM), ("gru", nn.GRU)])
def test_recurrent_nets_start_as_torch_does(name: str, cell: Any) -> None:
    torch.manual_seed(1)
    ours = CLASSES[name](3, width=5)
    torch.manual_seed(1)
    theirs = cell(3, 5)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("weight_norm", [True, False])
def test_convolutions_start_as_torch_does(weight_norm: bool) -> None:
    torch.manual_seed(1)
    ours = tcn.CausalConvolution(3, 5, 7, dilation=4, weight_norm=weight_norm)
    torch.manual_seed(1)
    theirs = nn.Conv1d(3, 5, 7, dilation=4)
    torch.testing.assert_close(ours.weight(), theirs.weight, rtol=1e-6, atol=0.0)
    assert torch.equal(ours.bias, theirs.bias)


def test_spread_of_the_initial_tcn_weights() -> None:
    model = tcn.Model(100, kernel=7, widths=(75, 75))
    first, second = model.blocks
    assert isinstance(first, tcn.Block)
    assert isinstance(second, tcn.Block)
    for convolution, inputs in ((first.first, 100), (first.second, 75), (second.first, 75), (second.second, 75)):
        # Conv1d's U(-1/√n, 1/√n) with n = C·k, not the N(0, 0.01) that the published code means to draw
        assert convolution.weight().std().item() == pytest.approx(1 / math.sqrt(3 * inputs * 7), rel=0.02)
    assert isinstance(first.residual, nn.Conv1d)
    assert first.residual.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert first.residual.weight.abs().max() > 1.2 * math.sqrt(3) * 0.01, "normal, not uniform"
    assert isinstance(second.residual, nn.Identity)


def test_residual_std_sets_the_residual_only() -> None:
    model = tcn.Model(100, kernel=2, levels=1, width=75, residual_std=0.5)
    (block,) = model.blocks
    assert isinstance(block, tcn.Block)
    assert isinstance(block.residual, nn.Conv1d)
    assert block.residual.weight.std().item() == pytest.approx(0.5, rel=0.05)
    assert block.first.weight().std().item() == pytest.approx(1 / math.sqrt(3 * 200), rel=0.02)


@pytest.mark.parametrize("name", RECURRENT)
def test_orthogonal_initialization(name: str) -> None:
    torch.manual_seed(1)
    plain = CLASSES[name](3, width=8, layers=2)
    torch.manual_seed(1)
    model = CLASSES[name](3, width=8, layers=2, initialization="orthogonal")
    for cell, other in zip(model.cells, plain.cells, strict=True):
        for gate in cell.weight_hh_l0.split(8):
            torch.testing.assert_close(gate @ gate.T, torch.eye(8), rtol=0.0, atol=1e-5)
        assert torch.equal(cell.weight_ih_l0, other.weight_ih_l0)
        assert torch.equal(cell.bias_ih_l0, other.bias_ih_l0)


def test_forget_bias_is_set_once_and_touches_no_other_gate() -> None:
    torch.manual_seed(1)
    plain = lstm.Model(3, width=4, layers=2)
    torch.manual_seed(1)
    model = lstm.Model(3, width=4, layers=2, forget_bias=5.0)
    forget = slice(4, 8)  # input, forget, candidate, output
    for cell, other in zip(model.cells, plain.cells, strict=True):
        assert torch.equal(cell.bias_ih_l0[forget], torch.full((4,), 5.0))
        assert torch.equal(cell.bias_hh_l0[forget], torch.zeros(4))
        for name, parameter in cell.named_parameters():
            rest = [row for row in range(16) if "weight" in name or not 4 <= row < 8]
            assert torch.equal(parameter[rest], other.get_parameter(name)[rest])
    assert not torch.equal(plain.cells[0].bias_hh_l0[forget], torch.zeros(4)), "None keeps PyTorch's draw"


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_chrono_initialization(name: str) -> None:
    width, longest = 300, 1000
    model = CLASSES[name](1, width=width, layers=2, chrono=longest)
    for cell in model.cells:
        keep = slice(width, 2 * width)  # LSTM: the forget gate, GRU: the update gate
        memory = cell.bias_ih_l0[keep].exp()  # U[1, T-1]
        assert memory.min() >= 1 - 1e-3
        assert memory.max() <= longest - 1 + 1e-3
        assert memory.mean().item() == pytest.approx(longest / 2, rel=0.15)
        assert memory.std().item() == pytest.approx((longest - 2) / math.sqrt(12), rel=0.15)
        assert not cell.bias_hh_l0[keep].any()
        if name == "lstm":
            assert torch.equal(cell.bias_ih_l0[:width], -cell.bias_ih_l0[keep])
            assert not cell.bias_hh_l0[:width].any()
    assert not torch.equal(model.cells[0].bias_ih_l0, model.cells[1].bias_ih_l0)


def test_chrono_makes_both_gated_nets_remember_for_longer() -> None:
    """The sign of the gate differs between papers; what counts is that an early input is still felt."""
    for name in ("lstm", "gru"):
        felt = {}
        for chrono in (None, 100):
            torch.manual_seed(1)
            model = CLASSES[name](1, width=32, chrono=chrono).double()
            inputs = torch.zeros(1, 60, 1, dtype=torch.float64, requires_grad=True)
            model(inputs)[0][:, -1].square().sum().backward()
            assert inputs.grad is not None
            felt[chrono] = (inputs.grad[0, 0] / inputs.grad[0, -1]).abs().item()
        assert felt[100] > 1000 * felt[None]


# Options that are refused.


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        *((name, {"width": 0}, r"width: .* at least 1 .* got 0") for name in CLASSES),
        *((name, {"dropout": 1.0}, r"dropout: a probability in \[0, 1\) .* got 1.0") for name in CLASSES),
        *((name, {"dropout_kind": "all"}, r"dropout_kind: .*'element'.* got 'all'") for name in CLASSES),
        *((name, {"layers": 0}, r"layers: .* at least 1 .* got 0") for name in RECURRENT),
        *((name, {"input_dropout": -0.1}, r"input_dropout: .* got -0.1") for name in RECURRENT),
        *((name, {"recurrent_dropout": math.nan}, r"recurrent_dropout: .* got nan") for name in RECURRENT),
        *((name, {"initialization": "xavier"}, r"initialization: .*'orthogonal'.* got 'xavier'") for name in RECURRENT),
        *((name, {"dropout": 0.1}, r"dropout: acts between layers and there is 1") for name in RECURRENT),
        ("rnn", {"nonlinearity": "gelu"}, r"nonlinearity: one of 'tanh', 'relu' .* got 'gelu'"),
        ("lstm", {"chrono": 1}, r"chrono: .* at least 2 .* got 1"),
        ("lstm", {"chrono": 10, "forget_bias": 1.0}, r"forget_bias, chrono: .* at most one .* got 1.0 and 10"),
        ("gru", {"chrono": 1}, r"chrono: .* at least 2 .* got 1"),
        ("gru", {"reset": "never"}, r"reset: one of 'after', 'before' .* got 'never'"),
        ("tcn", {"kernel": 0}, r"kernel: .* at least 1 .* got 0"),
        ("tcn", {"levels": 0}, r"levels: .* at least 1 .* got 0"),
        ("tcn", {"widths": (5, 0)}, r"widths: .* at least 1 .* got 0"),
        ("tcn", {"residual_std": -1.0}, r"residual_std: .* at least 0 .* got -1.0"),
    ],
)
def test_bad_options_are_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CLASSES[name](3, **options)


@pytest.mark.parametrize("name", CLASSES)
def test_no_channels_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"channels: .* at least 1 .* got 0"):
        CLASSES[name](0)


@pytest.mark.parametrize("name", CLASSES)
def test_a_state_of_another_depth_is_refused(name: str) -> None:
    model = CLASSES[name](2, width=3).eval()
    _, state = model(torch.randn(1, 4, 2))
    with pytest.raises(ValueError, match="argument"):
        model(torch.randn(1, 4, 2), [*state, *state])


# Special cases, and the whole network.


def test_kernel_of_one_step_works() -> None:
    model = tcn.Model(2, kernel=1, levels=2, width=3).eval()
    inputs = torch.randn(4, 6, 2)
    features, state = model(inputs)
    assert features.shape == (4, 6, 3)
    assert model.state_size == 0
    assert model.receptive_field == 1
    assert [tuple(part.shape) for part in state] == [(4, 2, 0), (4, 3, 0), (4, 3, 0), (4, 3, 0)]
    again, _ = model(inputs[:, 5:], model(inputs[:, :5])[1])
    torch.testing.assert_close(again, features[:, 5:])


def test_widths_take_the_place_of_levels_and_width() -> None:
    model = tcn.Model(2, kernel=3, levels=8, width=25, widths=(5, 5, 4))
    assert len(model.blocks) == 3
    assert model.features == 4
    assert model.receptive_field == 29


def test_network_reads_the_last_steps() -> None:
    body = tcn.Model(2, kernel=2, levels=2, width=3)
    head = heads.Linear(3, 4, std=0.01)
    inputs = torch.randn(5, 9, 2)
    everything, _ = network.Network(body, head, reads=None)(inputs)
    last, _ = network.Network(body, head, reads=1)(inputs)
    assert everything.shape == (5, 9, 4)
    assert last.shape == (5, 1, 4)
    torch.testing.assert_close(last, everything[:, -1:])
    assert head.macs_per_step == 12


@pytest.mark.parametrize(
    ("steps", "kernel", "dilation"), [(9, 3, 2), (16, 3, 4), (17, 2, 8), (8, 8, 1), (5, 1, 3), (7, 4, 2)]
)
def test_a_dilated_convolution_folded_is_the_same(steps: int, kernel: int, dilation: int) -> None:
    """As a GPU has it; outputs and gradients in float64."""
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 3, steps), (4, 3, kernel), (4,)
    given = [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]
    folded, dilated = tcn.folded_convolution(*given, dilation), nn.functional.conv1d(*given, dilation=dilation)
    assert folded.shape == dilated.shape
    torch.testing.assert_close(folded, dilated, rtol=1e-12, atol=1e-12)
    weights = torch.randn(dilated.shape, generator=generator, dtype=torch.float64)
    gradients = [torch.autograd.grad((outputs * weights).sum(), given) for outputs in (folded, dilated)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_whole_network_folded_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole sequences, pieces that go on from a state, and short ones, which not all taps reach."""
    torch.manual_seed(0)
    model = tcn.Model(3, width=5, kernel=3, levels=4).double().eval()
    inputs = torch.randn(2, 23, 3, dtype=torch.float64)

    def features() -> list[torch.Tensor]:
        with _compiling.plain(), torch.no_grad():
            first, state = model(inputs[:, :9])
            return [
                model(inputs)[0],
                first,
                model(inputs[:, 9:], state)[0],
                model(inputs[:, :2])[0],
                model.read(inputs),
            ]

    expected, folded = features(), []
    original = tcn.folded_convolution
    monkeypatch.setattr(tcn, "folded_convolution", lambda *given: folded.append(given) or original(*given))
    monkeypatch.setattr(tcn, "_folds", lambda inputs: True)
    for ours, theirs in zip(features(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert folded
