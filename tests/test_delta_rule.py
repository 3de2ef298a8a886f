"""DeltaNet and Gated DeltaNet: all forms of the rule against the loop over steps, extremes, counts, parameters."""

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
from seqbench.models import _chunks, _delta, base, deltanet, gated_deltanet
from seqbench.models._delta_net import DeltaNet, unit
from torch import Tensor
from torch.nn import functional as F

CHUNK, LONG = _chunks.CHUNK, _delta.LONG
both_types = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
Rule = Callable[..., tuple[Tensor, Tensor]]
FORMS: dict[str, Rule] = {"kernels": _delta.delta_rule, "chunked": _delta.chunked}
every_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(2412)
        yield


def given_to(steps: int, dtype: torch.dtype = torch.float64, most: float = 1.0) -> list[Tensor]:
    """Of 3 sequences, 2 heads, keys of 5 and values of 7, and strengths up to `most`."""
    keys = F.normalize(torch.randn(3, steps, 2, 5, dtype=dtype), dim=-1)
    strengths = most * torch.randn(3, steps, 2, dtype=dtype).sigmoid()
    log_decays = -torch.randn(3, steps, 2, dtype=dtype).exp()
    values = torch.randn(3, steps, 2, 7, dtype=dtype)
    return [torch.randn_like(keys), keys, values, strengths, log_decays, torch.randn(3, 2, 5, 7, dtype=dtype)]


def results(rule: Rule, given: Sequence[Tensor]) -> list[Tensor]:
    """Outputs, last state, and the gradients of all that is given for one fixed sum of both."""
    given = [part.detach().clone().requires_grad_() for part in given]
    found = rule(*given)
    draw = torch.Generator().manual_seed(5)
    loss = sum((part * torch.randn(part.shape, dtype=part.dtype, generator=draw)).sum() for part in found)
    assert isinstance(loss, Tensor)
    return [part.detach() for part in (*found, *torch.autograd.grad(loss, given))]


@both_types
@pytest.mark.parametrize("most", [1.0, 2.0])
@pytest.mark.parametrize("steps", [1, 2, CHUNK, CHUNK + 1, LONG, LONG + 3])
@every_form
def test_every_form_is_the_loop_over_steps(form: str, steps: int, most: float, dtype: torch.dtype) -> None:
    given = given_to(steps, dtype, most)
    assert_alike(results(FORMS[form], given), results(_delta.stepwise, given))


@every_form
def test_one_step_by_hand(form: str) -> None:
    """S_t = a S (I - β k kᵀ) + β v kᵀ, as the paper writes it, with a state that lies the other way round."""
    query, key, value, strength, log_decay, state = given_to(2)
    outputs, last = FORMS[form](query, key, value, strength, log_decay, state)
    for row in range(3):
        for head in range(2):
            expected = state[row, head].T  # (P, K)
            for t in range(2):
                k, v, beta = key[row, t, head], value[row, t, head], strength[row, t, head]
                erased = torch.eye(5, dtype=torch.float64) - beta * torch.outer(k, k)
                expected = log_decay[row, t, head].exp() * expected @ erased + beta * torch.outer(v, k)
                torch.testing.assert_close(outputs[row, t, head], expected @ query[row, t, head])
            torch.testing.assert_close(last[row, head], expected.T)


@both_types
@pytest.mark.parametrize("strength", [1.0, 2.0])
@every_form
def test_one_key_again_and_again_stays_finite(form: str, strength: float, dtype: torch.dtype) -> None:
    """With strength 2 each step mirrors the state at the key; nothing grows beyond what is written."""
    steps = 3 * LONG + 1
    queries, keys, values, strengths, _, state = given_to(steps, dtype)
    keys = keys[:, :1].expand_as(keys)
    given = [queries, keys, values, torch.full_like(strengths, strength), torch.zeros_like(strengths), state]
    found = results(FORMS[form], given)
    assert all(part.isfinite().all() for part in found)
    assert float(found[1].abs().max()) < 4 * steps
    # Gradients are sums over all mirrored steps of alternating sign: exact to 2e-5 of the largest in single precision.
    count = 2 if dtype == torch.float32 else len(found)
    assert_alike(found[:count], results(_delta.stepwise, given)[:count])


@every_form
def test_extreme_decays_and_strengths_stay_finite(form: str) -> None:
    for dtype in TOLERANCE:
        given = given_to(LONG + 3, dtype)
        logits = torch.where(torch.arange(LONG + 3) % 2 == 0, 30.0, -30.0).to(dtype)[None, :, None]
        given[3] = logits.sigmoid().expand(3, -1, 2).clone()
        given[4] = -F.softplus(-logits.roll(1, 1)).expand(3, -1, 2).clone()
        found = results(FORMS[form], given)
        assert all(part.isfinite().all() for part in found)
        assert_alike(found[:2], results(_delta.stepwise, given)[:2])


def test_no_decay_is_a_decay_of_one() -> None:
    *given, state = given_to(CHUNK + 1)
    given[4] = torch.zeros_like(given[4])
    for one, other in zip(_delta.delta_rule(*given[:4], None, state), _delta.stepwise(*given, state), strict=True):
        torch.testing.assert_close(one, other)


def test_under_autocast_the_states_are_of_single_precision() -> None:
    given = given_to(CHUNK + 1, torch.float32)
    expected = _delta.delta_rule(*given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for ours, theirs in zip(_delta.delta_rule(*given), expected, strict=True):
            assert torch.equal(ours, theirs)


def test_unit_vectors() -> None:
    vectors = torch.randn(2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(unit(vectors), F.normalize(vectors, dim=-1), rtol=1e-5, atol=1e-5)
    zero = torch.zeros(1, 2, 4, requires_grad=True)
    unit(zero).sum().backward()
    assert not unit(zero).any()
    assert zero.grad is not None
    assert zero.grad.isfinite().all()


OPTIONS = {"width": 12, "layers": 2, "heads": 2}
MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "deltanet": (deltanet.Model, OPTIONS),
    "gated-deltanet": (gated_deltanet.Model, {**OPTIONS, "eigenvalues": "signed"}),
}
every_model = pytest.mark.parametrize("name", MODELS)


def make(name: str, **options: Any) -> base.Model:
    found, given = MODELS[name]
    model: base.Model = found(2, **{**given, **options})
    return model


@every_model
@pytest.mark.parametrize("options", [{"convolution": 0}, {"convolution": 1}, {"eigenvalues": "signed"}], ids=str)
def test_kernels_and_torchs_operations_agree_on_the_model(name: str, options: dict[str, Any]) -> None:
    """Also where the sequence is shorter than the convolution."""
    model = make(name, **options).double()
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
    for w, layers, h, c, inner in ((12, 2, 2, 4, 5), (16, 1, 4, 0, 0)):
        model = make(name, width=w, layers=layers, heads=h, convolution=c, inner=inner)
        if name == "deltanet":
            mixer, state, mixed = 4 * w * w + w * h + 3 * c * w + w // h, w * w // h, 3 * w
        else:
            v = 2 * w
            mixer = w * (2 * w + 3 * v) + 2 * w * h + c * (2 * w + v) + 2 * h + v // h
            state, mixed = w * v // h, 2 * w + v
        mlp = 3 * w * inner + w if inner else 0
        expected = layers * (mixer + w + mlp) + w + 2 * w + w
        assert sum(parameter.numel() for parameter in model.parameters()) == expected
        assert model.state_size == layers * (state + mixed * max(0, c - 1))


def test_a_gated_deltanet_of_width_64_has_the_published_count() -> None:
    mixer = DeltaNet(64, 4, 16, 32, 4, signed=False, gated=True)
    assert sum(parameter.numel() for parameter in mixer.parameters()) == 34344


@every_model
def test_vectors_do_not_decay(name: str) -> None:
    model = make(name)
    exempt = {id(parameter) for group in model.parameter_groups() if not group.decays for parameter in group.parameters}
    for place, parameter in model.named_parameters():
        assert (id(parameter) in exempt) == (parameter.dim() == 1), place


@every_model
def test_signed_eigenvalues_are_strengths_up_to_two(name: str) -> None:
    """At a logit of 30 a step with eigenvalue 1 - β takes what is stored at its key to 0, or to what mirrors it."""
    for eigenvalues, strength in (("positive", 1.0), ("signed", 2.0)):
        model: Any = make(name, eigenvalues=eigenvalues, convolution=0)
        mixer = model.blocks[0].mixer
        with torch.no_grad():
            mixer.strength.weight.fill_(0)
            mixer.strength.weight[:, 0] = 30
        _, (_, state) = mixer(torch.eye(1, 12)[None])
        key, value = (F.silu(part @ torch.eye(12)[0]) for part in mixer.enter.weight.split(mixer.sizes)[1:])
        keys, values = unit(key.unflatten(0, (2, -1))), value.unflatten(0, (2, -1))
        expected = strength * keys[:, :, None] * values[:, None, :]
        torch.testing.assert_close(state[0], expected)


@every_model
def test_heads_that_do_not_divide_the_width_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="width: 4 heads must divide the width, got 10; 8 or 12 can be had"):
        make(name, width=10, heads=4)
    assert MODELS[name][0].width_step_for({"heads": 4}) == 4


@every_model
def test_outputs_do_not_depend_on_the_number_of_threads(name: str) -> None:
    before, seen, inputs, model = torch.get_num_threads(), [], torch.randn(5, 30, 2), make(name)
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        seen.append(model.read(inputs).detach())
    torch.set_num_threads(before)
    assert all(torch.equal(one, seen[0]) for one in seen[1:])
