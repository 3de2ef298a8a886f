"""What every model promises, checked for each file in models/ that has a `class Model`: a new file is picked up.

Models of pairs, which read a source and write a target, promise other things: see `test_pair_models`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from seqbench.models import base
from torch import Tensor

FOLDER = Path(inspect.getfile(base)).parent


def has_model(file: Path) -> bool:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.ClassDef) and node.name == "Model" for node in tree.body)


NAMES = sorted(
    file.stem
    for file in FOLDER.glob("*.py")
    if not file.stem.startswith("_") and file.stem != "base" and has_model(file)
)
NAMES = [name for name in NAMES if not importlib.import_module(f"seqbench.models.{name}").Model.pairs]
BATCH, CHANNELS = 4, 3
every_model = pytest.mark.parametrize("name", NAMES)


def model_class(name: str) -> type[base.Model]:
    found: type[base.Model] = importlib.import_module(f"seqbench.models.{name}").Model
    return found


every_causal_model = pytest.mark.parametrize("name", [name for name in NAMES if model_class(name).causal])
every_streamed_model = pytest.mark.parametrize("name", [name for name in NAMES if model_class(name).streamed])


def build(name: str, dtype: torch.dtype = torch.float64, **options: Any) -> base.Model:
    """The model with its test parameters, in evaluation mode, the same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        found: Any = model_class(name)
        model: base.Model = found(CHANNELS, **{**found.test_parameters, **options})
    return model.to(dtype).eval()


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(11))


def tensors_of(state: Any) -> Iterator[Tensor]:
    """Every tensor in a nest of lists and tuples; none of a model without a state."""
    if state is None:
        return
    if isinstance(state, Tensor):
        yield state
    else:
        assert isinstance(state, list | tuple), f"a state holds lists, tuples and tensors, found {type(state)}"
        for part in state:
            yield from tensors_of(part)


def test_the_four_architectures_are_found() -> None:
    assert {"rnn", "lstm", "gru", "tcn"} <= set(NAMES)


@every_model
def test_declarations(name: str) -> None:
    found = model_class(name)
    signature = inspect.signature(found)
    first, *options = signature.parameters.values()
    assert first.name == "channels"
    assert all(option.kind is option.KEYWORD_ONLY and option.default is not option.empty for option in options)
    assert found.sized_by in signature.parameters
    assert found.fine_option is None or found.fine_option in signature.parameters
    assert isinstance(found.version, int)
    assert found.version >= 1
    assert found.source
    called = name.replace("_", "-")
    assert all(variant.startswith(f"{called}(") and variant.endswith(")") for variant in found.variants)
    assert set(found.test_parameters) <= set(signature.parameters)
    assert inspect.getdoc(found)


@every_model
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [1, 2, 23])
def test_shapes_and_dtype(name: str, dtype: torch.dtype, steps: int) -> None:
    model = build(name, dtype)
    features, state = model(noise(BATCH, steps, CHANNELS, dtype=dtype))
    assert features.shape == (BATCH, steps, model.features)
    assert features.dtype == dtype
    assert all(part.dtype == dtype and len(part) == BATCH for part in tensors_of(state))


@every_causal_model
def test_no_output_depends_on_a_later_input(name: str) -> None:
    model = build(name)
    inputs = noise(BATCH, 23, CHANNELS).requires_grad_()
    features, _ = model(inputs)
    for t in range(23):
        (gradient,) = torch.autograd.grad(features[:, t].square().sum(), inputs, retain_graph=True)
        assert not gradient[:, t + 1 :].any(), f"features at {t} depend on later inputs"
        assert gradient[:, t].any()
    changed = inputs.detach().clone()
    changed[:, 12:] += 1
    torch.testing.assert_close(model(changed)[0][:, :12], features[:, :12], rtol=0.0, atol=1e-12)


@every_model
def test_sequences_of_a_batch_do_not_mix(name: str) -> None:
    model = build(name)
    inputs = noise(BATCH, 9, CHANNELS)
    together, _ = model(inputs)
    alone = torch.cat([model(one[None])[0] for one in inputs])
    torch.testing.assert_close(alone, together, rtol=0.0, atol=1e-12)


@every_streamed_model
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_pieces_give_what_the_whole_gives(name: str, dtype: torch.dtype, tolerance: float) -> None:
    model = build(name, dtype)
    steps = 40
    inputs = noise(BATCH, steps, CHANNELS, dtype=dtype)
    whole, last = model(inputs)
    draw = random.Random(3)
    cuts = [sorted(draw.sample(range(1, steps), count)) for count in (1, 2, 3, 5, 9)]
    for cut in [*cuts, [1], [steps - 1], list(range(1, steps))]:
        state = None
        pieces = []
        for start, end in zip([0, *cut], [*cut, steps], strict=True):
            features, state = model(inputs[:, start:end], state)
            pieces.append(features)
        torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=0.0, atol=tolerance)
        for ours, theirs in zip(tensors_of(state), tensors_of(last), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0.0, atol=tolerance)


@every_model
def test_a_model_without_a_state_goes_on_from_none(name: str) -> None:
    model = build(name)
    _, state = model(noise(BATCH, 9, CHANNELS))
    assert (state is not None) == model.streamed
    assert model.causal or not model.streamed
    if not model.streamed:
        with pytest.raises(ValueError, match="state"):
            model(noise(BATCH, 9, CHANNELS), [noise(BATCH, 4)])


@every_streamed_model
def test_state_does_not_share_memory_with_the_inputs(name: str) -> None:
    model = build(name)
    inputs = noise(BATCH, 9, CHANNELS)
    _, state = model(inputs)
    before = [part.clone() for part in tensors_of(state)]
    inputs.zero_()  # as a loop does that fills one buffer again and again
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(tensors_of(state), before, strict=True))


@every_streamed_model
def test_state_is_not_changed_by_using_it(name: str) -> None:
    model = build(name)
    inputs = noise(BATCH, 9, CHANNELS)
    _, state = model(inputs)
    first, _ = model(inputs, state)
    second, _ = model(inputs, state)
    assert torch.equal(first, second)


@every_streamed_model
@pytest.mark.parametrize("steps", [1, 30])
def test_state_size_counts_the_state(name: str, steps: int) -> None:
    model = build(name)
    _, state = model(noise(BATCH, steps, CHANNELS))
    assert sum(part[0].numel() for part in tensors_of(state)) == model.state_size_after(steps)
    assert model.state_size is None or model.state_size == model.state_size_after(10_000)


@every_model
def test_gradient_reaches_as_far_back_as_the_receptive_field(name: str) -> None:
    model = build(name)
    reach = model.receptive_field
    steps = 40 if reach is None else reach + 10
    inputs = noise(64, steps, CHANNELS).requires_grad_()
    features, _ = model(inputs)
    features[:, -1].square().sum().backward()
    assert inputs.grad is not None
    touched = inputs.grad.abs().sum(dim=(0, 2)).nonzero()[:, 0]
    assert steps - int(touched.min()) == (steps if reach is None else reach)


@every_model
def test_every_parameter_is_used(name: str) -> None:
    model = build(name)
    features, _ = model(noise(BATCH, 23, CHANNELS))
    (features * noise(*features.shape)).sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.any(), parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


@every_streamed_model
def test_gradient_flows_through_the_state(name: str) -> None:
    model = build(name)
    inputs = noise(BATCH, 20, CHANNELS).requires_grad_()
    _, state = model(inputs[:, :12])
    model(inputs[:, 12:], state)[0].square().sum().backward()
    assert inputs.grad is not None
    assert inputs.grad[:, 11].any()


@every_model
def test_same_bits_again(name: str) -> None:
    results = []
    for _ in range(2):
        model = build(name, torch.float32)
        features, _ = model(noise(BATCH, 23, CHANNELS, dtype=torch.float32))
        features.square().sum().backward()
        results.append([features, *(parameter.grad for parameter in model.parameters())])
    for one, other in zip(*results, strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)


@every_model
def test_construction_draws_from_the_default_generator_only(name: str) -> None:
    before = torch.get_rng_state()
    one, other = build(name), build(name)
    assert torch.equal(torch.get_rng_state(), before)
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right)


@every_model
@pytest.mark.parametrize("training", [False, True])
def test_forward_leaves_the_global_random_state_alone(name: str, training: bool) -> None:
    model = build(name).train(training)
    before = torch.get_rng_state()
    model(noise(BATCH, 9, CHANNELS))
    assert torch.equal(torch.get_rng_state(), before)


@every_model
def test_meta_construction_counts_the_same(name: str) -> None:
    real = build(name)
    with torch.device("meta"):
        sketch: Any = model_class(name)
        sketch = sketch(CHANNELS, **sketch.test_parameters)
    assert all(parameter.is_meta for parameter in sketch.parameters())
    assert [(key, part.shape) for key, part in sketch.named_parameters()] == [
        (key, part.shape) for key, part in real.named_parameters()
    ]
    for attribute in ("features", "state_size", "receptive_field", "macs_per_step"):
        assert getattr(sketch, attribute) == getattr(real, attribute)


@every_model
def test_multiply_adds_count_the_weight_matrices(name: str) -> None:
    model = build(name)
    # Vectors, also those that are kept with dimensions of size 1 to broadcast, are added or scale; matrices multiply.
    matrices = [parameter for parameter in model.parameters() if parameter.squeeze().dim() > 1]
    assert model.macs_per_step == sum(matrix.numel() for matrix in matrices)


@every_model
def test_parameters_can_be_given_from_outside(name: str) -> None:
    model = build(name)
    inputs = noise(BATCH, 9, CHANNELS)
    doubled = {key: 2 * parameter.detach() for key, parameter in model.named_parameters()}
    outputs, _ = torch.func.functional_call(model, doubled, (inputs,))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 2
    torch.testing.assert_close(outputs, model(inputs)[0], rtol=0.0, atol=1e-12)


@every_model
def test_saved_weights_restore_the_model(name: str) -> None:
    model = build(name)
    other = build(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(model.state_dict())
    inputs = noise(BATCH, 9, CHANNELS)
    assert torch.equal(model(inputs)[0], other(inputs)[0])


def test_a_part_named_like_a_method_is_refused() -> None:
    class Hidden(base.Model):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.read = torch.nn.Linear(channels, 2)  # type: ignore[assignment, method-assign]

        def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
            return inputs, state

    with pytest.raises(AttributeError, match=r"Hidden: self\.read = Linear.*another name"):
        Hidden(3)
