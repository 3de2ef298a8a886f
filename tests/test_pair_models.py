"""What every encoder-decoder promises: each file in models/ whose Model reads pairs, and each kind of seq2seq."""

from __future__ import annotations

import inspect
import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pair_models import KINDS, LENGTHS, SOURCE, TARGET, answered, every_kind, made, shown, sources
from seqbench.bench.experiments import registry
from seqbench.models import seq2seq
from seqbench.models.base import seed_dropout
from seqbench.models.encoder_decoder import END, PAD, START
from seqbench.tasks import _pairs
from torch import Tensor


def numbers_in(nest: Any) -> Iterator[Tensor]:
    """The tensors of numbers in a nest, each once, even where it stands in two places."""
    found: dict[int, Tensor] = {}

    def walk(part: Any) -> None:
        if isinstance(part, Tensor):
            if part.is_floating_point():
                found[part.data_ptr()] = part
        elif part is not None:
            for one in part:
                walk(one)

    walk(nest)
    yield from found.values()


def test_the_two_architectures_are_found() -> None:
    assert {"seq2seq", "transformer-seq2seq"} <= set(KINDS)


def test_special_symbols_are_those_of_the_tasks() -> None:
    assert (PAD, START, END) == (_pairs.PAD, _pairs.START, _pairs.END)


@every_kind
def test_declarations(kind: str) -> None:
    name, _ = KINDS[kind]
    found = registry.find("model", name)
    first, second, *options = inspect.signature(found).parameters.values()
    assert (first.name, second.name) == ("source", "target")
    assert all(option.kind is option.KEYWORD_ONLY and option.default is not option.empty for option in options)
    names = {option.name for option in options}
    assert {found.sized_by, found.fine_option} <= names
    assert set(found.test_parameters) <= names
    assert found.source
    assert all(variant.startswith(f"{name}(") for variant in found.variants)
    assert inspect.getdoc(found)


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_and_weights(kind: str, dtype: torch.dtype) -> None:
    """Weights are a distribution over a source's own symbols."""
    model = made(kind, dtype)
    answer = answered(model, sources(), shown())
    assert answer.log_probabilities().shape == (4, 6, TARGET)
    assert answer.log_probabilities().dtype == dtype
    assert answer.surprisal(shown()).shape == answer.most_probable().shape == (4, 6)
    if "none" in kind:
        assert answer.weights is None
        return
    assert answer.weights is not None
    assert answer.weights.shape == (4, 6, 8)
    torch.testing.assert_close(answer.weights.sum(2), torch.ones(4, 6, dtype=dtype))
    behind = torch.arange(8) >= LENGTHS[:, None, None]
    assert not answer.weights.masked_select(behind).any()
    assert (answer.weights.masked_select(~behind) > 0).all()


@every_kind
def test_what_pads_a_source_never_leaks(kind: str) -> None:
    """Together, padded with whatever, gives what each gives alone, and so do the gradients."""
    model, source, inputs = made(kind), sources(), shown()
    together = answered(model, source, inputs).log_probabilities()
    padded = source.masked_fill(torch.arange(8) >= LENGTHS[:, None], PAD)
    assert torch.equal(answered(model, padded, inputs).log_probabilities(), together)
    gradients = torch.autograd.grad(together.square().sum(), list(model.parameters()))
    alone = torch.cat(
        [
            answered(model, row[None, :length], shown_[None], None).log_probabilities()
            for row, length, shown_ in zip(source, LENGTHS, inputs, strict=True)
        ]
    )
    torch.testing.assert_close(alone, together, rtol=0.0, atol=1e-12)
    for one, other in zip(torch.autograd.grad(alone.square().sum(), list(model.parameters())), gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=1e-9)


@every_kind
def test_the_source_is_read_from_end_to_end(kind: str) -> None:
    model, source, inputs = made(kind), sources(), shown()
    before = answered(model, source, inputs, None).log_probabilities()
    for place in (0, 4, 7):
        other = source.clone()
        other[:, place] = 1 + other[:, place] % (SOURCE - 1)
        changed = answered(model, other, inputs, None).log_probabilities()
        assert ((changed - before).abs().amax((1, 2)) > 1e-6).all()


@every_kind
def test_no_answer_depends_on_a_later_symbol_of_the_target(kind: str) -> None:
    model, source, inputs = made(kind), sources(), shown()
    before = answered(model, source, inputs).log_probabilities()
    for place in range(1, 6):
        other = torch.cat([inputs[:, :place], shown(6).flip(1)[:, place:]], 1)
        changed = answered(model, source, other).log_probabilities()
        torch.testing.assert_close(changed[:, :place], before[:, :place], rtol=0.0, atol=1e-12)
        assert not torch.allclose(changed[:, place:], before[:, place:])


@every_kind
def test_pieces_of_a_target_give_what_the_whole_gives(kind: str) -> None:
    model, inputs = made(kind), shown()
    memory, draw = model.encode(sources(), LENGTHS), random.Random(3)
    whole = model.decode(memory, inputs)
    for cuts in ([3], sorted(draw.sample(range(1, 6), 2)), [1, 2, 3, 4, 5]):
        state, pieces, looked = None, [], []
        for start, end in itertools.pairwise([0, *cuts, 6]):
            features, state, weights = model.decode(memory, inputs[:, start:end], state)
            pieces.append(features)
            looked.append(weights)
        torch.testing.assert_close(torch.cat(pieces, 1), whole.features, rtol=0.0, atol=1e-12)
        if whole.weights is not None:
            torch.testing.assert_close(torch.cat(looked, 1), whole.weights, rtol=0.0, atol=1e-12)  # type: ignore[arg-type]
    through, _ = model(inputs, (memory, None))
    assert torch.equal(through, whole.features)
    with pytest.raises(ValueError, match="a decoder goes on from a source"):
        model(inputs)


@every_kind
def test_every_parameter_is_used(kind: str) -> None:
    model = made(kind)
    features, _ = model(shown(), (model.encode(sources(), LENGTHS), None))
    weights = torch.randn(features.shape, dtype=features.dtype, generator=torch.Generator().manual_seed(4))
    (features * weights).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
        assert parameter.grad.isfinite().all(), name


@every_kind
@pytest.mark.parametrize("steps", [1, 9])
def test_state_size_counts_what_is_kept(kind: str, steps: int) -> None:
    """What is kept behind a target as long as the source: of the memory only what later steps read."""
    model = made(kind)
    memory = model.encode(sources(steps), torch.full((4,), steps))
    state = model.decode(memory, shown(steps)).state
    if isinstance(memory, seq2seq.Memory):
        memory = memory._replace(state=None)
    assert sum(part[0].numel() for part in numbers_in([memory, state])) == model.state_size_after(steps)
    assert model.state_size is None or model.state_size == model.state_size_after(1000)


@every_kind
def test_multiply_adds_count_the_weight_matrices(kind: str) -> None:
    """But not the embeddings, nor what makes the decoder's first state, once a sequence."""
    model = made(kind)
    left_out = ("embed_source", "embed_target", "to_first_state")
    matrices = [
        part for name, part in model.named_parameters() if part.squeeze().dim() > 1 and not name.startswith(left_out)
    ]
    assert model.macs_per_step == sum(matrix.numel() for matrix in matrices)


@every_kind
def test_meta_construction_counts_the_same(kind: str) -> None:
    real = made(kind)
    with torch.device("meta"):
        sketch = made(kind)
    assert all(parameter.is_meta for parameter in sketch.parameters())
    shapes = [[(key, part.shape) for key, part in model.named_parameters()] for model in (real, sketch)]
    assert shapes[0] == shapes[1]


@every_kind
def test_the_same_bits_again_and_dropout_has_its_own_stream(kind: str) -> None:
    found = []
    for _ in range(2):
        model, before = made(kind, torch.float32, dropout=0.3).train(), torch.get_rng_state()
        seed_dropout(model, torch.Generator().manual_seed(5))
        loss = answered(model, sources(), shown()).surprisal(shown()).sum()
        loss.backward()
        assert torch.equal(torch.get_rng_state(), before)
        found.append([loss, *(parameter.grad for parameter in model.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))  # type: ignore[arg-type]
    dropped, kept = found[0][0], answered(made(kind, torch.float32), sources(), shown()).surprisal(shown()).sum()
    assert dropped is not None
    assert not torch.allclose(dropped, kept)


@every_kind
def test_a_source_that_is_longer_than_any_before_is_read(kind: str) -> None:
    model = made(kind)
    long = sources(200, 2)
    answer = answered(model, long, shown(40, 2), None)
    assert answer.log_probabilities().isfinite().all()
    assert answer.decoded(50).shape == (2, 50)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 7}, "width: an even number is needed"),
        ({"input_feeding": True}, "input_feeding: attention=luong-dot or luong-general is needed, got bahdanau"),
        ({"attention": "dot"}, "attention: one of 'bahdanau', 'luong-dot', 'luong-general'"),
        ({"encoder": "tcn"}, "encoder: one of 'rnn', 'lstm', 'gru'"),
        ({"dropout": 1.0}, r"dropout: a probability in \[0, 1\)"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        seq2seq.Model(SOURCE, TARGET, **options)


def test_vocabularies_without_room_for_the_special_symbols() -> None:
    with pytest.raises(ValueError, match="a target of 4 or more, three of them PAD=0, START=1 and END=2; got 5 and 3"):
        seq2seq.Model(5, 3)
