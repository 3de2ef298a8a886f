"""Mamba and Mamba-2: all forms of their recurrences against the loop over steps, extreme gates, counts, parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from admission import (
    TOLERANCE,
    assert_alike,
    assert_kernels_give_what_plain_operations_do,
    assert_learns_parity,
    assert_pieces_give_the_whole,
    made,
    noise,
)
from mixing import assert_stays_finite, mixer_of
from seqbench.models import _chunks, _scalar_decay, _selective, base, mamba, mamba2
from seqbench.models._step_sizes import step_size_bias
from seqbench.models.mamba import SelectiveStateSpace
from seqbench.models.mamba2 import ScalarStateSpace
from torch import Tensor
from torch.nn import functional as F

CHUNK, LONG = _chunks.CHUNK, _scalar_decay.LONG
both_types = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
Scan = Callable[..., tuple[Tensor, Tensor]]


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(2312)
        yield


def selective_inputs(steps: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Of 3 sequences, 7 channels and states of 5."""
    sizes = F.softplus(torch.randn(3, steps, 7, dtype=dtype))
    rates = -torch.randn(7, 5, dtype=dtype).exp()
    shapes = (3, steps, 5), (3, steps, 5), (7,), (3, 7, 5)
    return [
        torch.randn(3, steps, 7, dtype=dtype),
        sizes,
        rates,
        *(torch.randn(*shape, dtype=dtype) for shape in shapes),
    ]


def scalar_inputs(steps: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Of 3 sequences, 2 heads of 7 channels and states of 5."""
    log_decays = -torch.randn(3, steps, 2, dtype=dtype).exp()
    shapes = (3, steps, 5), (3, steps, 5), (3, 2, 7, 5)
    return [torch.randn(3, steps, 2, 7, dtype=dtype), log_decays, *(torch.randn(*s, dtype=dtype) for s in shapes)]


def results(scan: Scan, given: Sequence[Tensor]) -> list[Tensor]:
    """Outputs, last state, and the gradients of all that is given for one fixed sum of both."""
    given = [part.detach().clone().requires_grad_() for part in given]
    found = scan(*given)
    draw = torch.Generator().manual_seed(5)
    loss = sum((part * torch.randn(part.shape, dtype=part.dtype, generator=draw)).sum() for part in found)
    assert isinstance(loss, Tensor)
    return [part.detach() for part in (*found, *torch.autograd.grad(loss, given))]


FORMS: dict[str, tuple[Scan, Scan, Callable[..., list[Tensor]]]] = {
    "selective": (_selective.selective_scan, _selective.stepwise, selective_inputs),
    "selective-two-level": (_selective.two_level_scan, _selective.stepwise, selective_inputs),
    "scalar": (_scalar_decay.scalar_decay_scan, _scalar_decay.stepwise, scalar_inputs),
    "scalar-chunked": (_scalar_decay.chunked, _scalar_decay.stepwise, scalar_inputs),
}
every_form = pytest.mark.parametrize("form", FORMS)


@both_types
@pytest.mark.parametrize("steps", [1, 2, CHUNK, CHUNK + 1, LONG, LONG + 3])
@every_form
def test_every_form_is_the_loop_over_steps(form: str, steps: int, dtype: torch.dtype) -> None:
    scan, loop, inputs = FORMS[form]
    given = inputs(steps, dtype)
    assert_alike(results(scan, given), results(loop, given))


@every_form
def test_extreme_decays_stay_finite(form: str) -> None:
    """Step sizes and rates by which a state lasts for ever, or for less than a step."""
    scan, loop, inputs = FORMS[form]
    for dtype in TOLERANCE:
        given = inputs(LONG + 3, dtype)
        sizes = F.softplus(torch.full_like(given[1], 30.0))
        sizes[:, ::2] = F.softplus(torch.full_like(given[1][:, ::2], -30.0))
        given[1] = sizes if len(given) == 7 else -sizes
        if len(given) == 7:
            given[2] = -torch.full_like(given[2], 30.0).exp()
            given[2][0] = -torch.full_like(given[2][0], -30.0).exp()
        found = results(scan, given)
        assert all(part.isfinite().all() for part in found)
        assert_alike(found[:2], results(loop, given)[:2])


@every_form
def test_without_a_gradient_for_the_state_or_for_the_outputs(form: str) -> None:
    scan, loop, inputs = FORMS[form]
    for place in (0, 1):
        seen = []
        for function in (scan, loop):
            given = [part.clone().requires_grad_() for part in inputs(CHUNK + 2)] if not seen else seen[0][0]
            seen.append((given, torch.autograd.grad(function(*given)[place].sum(), given, allow_unused=True)))
        for ours, theirs in zip(seen[0][1], seen[1][1], strict=True):
            torch.testing.assert_close(ours if theirs is not None else None, theirs)


def test_under_autocast_the_states_are_of_single_precision() -> None:
    for scan, _, inputs in FORMS.values():
        given = inputs(CHUNK + 1, torch.float32)
        expected = scan(*given)
        if scan in (_selective.selective_scan, _scalar_decay.scalar_decay_scan):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                for ours, theirs in zip(scan(*given), expected, strict=True):
                    assert torch.equal(ours, theirs)


MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "mamba": (mamba.Model, {"width": 10, "layers": 2, "state": 5}),
    "mamba2": (mamba2.Model, {"width": 10, "layers": 2, "state": 5, "heads": 4}),
}
every_model = pytest.mark.parametrize("name", MODELS)


def make(name: str, **options: Any) -> base.Model:
    found, given = MODELS[name]
    model: base.Model = found(2, **{**given, **options})
    return model


@every_model
@pytest.mark.parametrize("convolution", [0, 1, 4])
def test_kernels_and_torchs_operations_agree_on_the_model(name: str, convolution: int) -> None:
    """Also where the sequence is shorter than the convolution."""
    model = make(name, convolution=convolution).double()
    assert_kernels_give_what_plain_operations_do(model)


@both_types
@every_model
def test_pieces_give_the_whole(name: str, dtype: torch.dtype) -> None:
    model, options = MODELS[name]
    assert_pieces_give_the_whole(made(model, dtype, **options), noise(2, 2 * CHUNK + 3, 3, dtype=dtype))


@every_model
def test_gates_that_are_shut_or_wide_open_stay_finite(name: str) -> None:
    model, options = MODELS[name]
    assert_stays_finite(mixer_of(model, **{**options, "width": 6, "layers": 1}), 30)


@every_model
def test_learns_parity_of_short_sequences(name: str) -> None:
    model, options = MODELS[name]
    assert_learns_parity(model, **options)


@every_model
def test_counts_are_those_of_the_formula(name: str) -> None:
    for width, layers, n, k in ((10, 2, 5, 4), (16, 1, 8, 0)):
        model, e = make(name, width=width, layers=layers, state=n, convolution=k), 2 * width
        taps, history = ((k + 1) if k else 0), max(0, k - 1)
        if name == "mamba":
            r = 1
            mixer = 3 * e * width + taps * e + (2 * r + 2 * n) * e + e + e * n + e
            state = e * (n + history)
        else:
            h = 4
            mixer = width * (2 * e + 2 * n + h) + (e + 2 * n) * taps + 3 * h + e + e * width
            state = e * n + (e + 2 * n) * history
        expected = layers * (mixer + width) + width + 2 * width + width
        assert sum(parameter.numel() for parameter in model.parameters()) == expected
        assert model.state_size == layers * state


def test_a_mamba_of_width_64_has_the_published_count() -> None:
    mixer = SelectiveStateSpace(64, 128, 16, 4, 4)
    assert sum(parameter.numel() for parameter in mixer.parameters()) == 32640
    other = ScalarStateSpace(64, 128, 32, 8, 4)
    assert sum(parameter.numel() for parameter in other.parameters()) == 30296


@every_model
def test_rates_skips_and_biases_do_not_decay(name: str) -> None:
    model = make(name)
    exempt = {id(parameter) for group in model.parameter_groups() if not group.decays for parameter in group.parameters}
    for place, parameter in model.named_parameters():
        matrix = parameter.dim() > 1 and not place.endswith("log_rates")
        assert (id(parameter) in exempt) == (not matrix), place


def test_step_sizes_start_between_their_bounds() -> None:
    sizes = F.softplus(step_size_bias(10000).double())
    assert sizes.min() > 0.000999
    assert sizes.max() < 0.1001
    assert abs(float(sizes.log().median() - torch.tensor(0.01).log())) < 0.1  # log-uniform


def test_a_mamba2_refuses_heads_that_do_not_divide_its_channels() -> None:
    with pytest.raises(ValueError, match="width: 4 heads must divide 2 · width, got 9; 8 or 10 can be had"):
        make("mamba2", width=9)
    assert mamba2.Model.width_step_for({"heads": 4, "expansion": 2}) == 2


@every_model
def test_outputs_do_not_depend_on_the_number_of_threads(name: str) -> None:
    before, seen, inputs, model = torch.get_num_threads(), [], torch.randn(5, 30, 2), make(name)
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        seen.append(model.read(inputs).detach())
    torch.set_num_threads(before)
    assert all(torch.equal(one, seen[0]) for one in seen[1:])
