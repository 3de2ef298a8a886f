"""What an encoder-decoder writes by itself: greedy decoding and beam search against brute force over short targets."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from pair_models import LENGTHS, TARGET, answered, every_kind, head_of, made, shown, sources
from seqbench.models import encoder_decoder
from seqbench.models.encoder_decoder import END, PAD, START, EncoderDecoder
from torch import Tensor


@torch.no_grad()
def log_probabilities(model: EncoderDecoder, source: Tensor, targets: list[list[int]]) -> list[float]:
    """ln P of targets of one source (S,), by reading each at once: what decoding symbol by symbol must come to."""
    found: dict[tuple[int, ...], float] = {}
    for _, alike in itertools.groupby(sorted(targets, key=len), key=len):
        rows = torch.tensor(list(alike))
        inputs = torch.cat([torch.full((len(rows), 1), START), rows[:, :-1]], 1)
        nats = answered(model, source.expand(len(rows), -1), inputs, None).surprisal(rows).sum(1)
        found |= dict(zip(map(tuple, rows.tolist()), (-nats).tolist(), strict=True))
    return [found[tuple(target)] for target in targets]


def all_targets(longest: int) -> Iterator[list[int]]:
    """Every target that can be written: those that end in time, and those that are cut off."""
    writable = range(3, TARGET)
    for size in range(longest):
        yield from ([*symbols, END] for symbols in itertools.product(writable, repeat=size))
    yield from (list(symbols) for symbols in itertools.product(writable, repeat=longest))


@every_kind
def test_greedy_decoding_takes_the_most_probable_symbol_each_time(kind: str) -> None:
    """Against reading what was written so far anew, from the start, for each symbol, one sequence at a time."""
    model, longest = made(kind), 9
    written = answered(model, sources(), shown()).decoded(longest)
    assert written.shape == (4, longest)
    for row, source, length in zip(written.tolist(), sources(), LENGTHS, strict=True):
        target: list[int] = []
        while len(target) < longest and END not in target:
            inputs = torch.tensor([[START, *target]])
            expected = answered(model, source[None, :length], inputs, None).log_probabilities()[0, -1]
            expected[[PAD, START]] = -math.inf
            target.append(int(expected.argmax()))
        assert row == target + [PAD] * (longest - len(target))


@every_kind
def test_beam_search_against_all_targets(kind: str) -> None:
    """With as many hypotheses as there are targets it finds the most probable ones, in their order."""
    model, longest = made(kind), 4
    source = sources(5, 3)
    answer = answered(model, source, shown(1, 3), None)
    every = list(all_targets(longest))
    written, scores = answer.hypotheses(longest, len(every) + 5)
    assert written.shape == (3, len(every) + 5, longest)
    assert scores[:, len(every) :].eq(-math.inf).all()
    for row in range(3):
        truth = log_probabilities(model, source[row], every)
        ranked = [target for _, target in sorted(zip(truth, every, strict=True), reverse=True)]
        found = [[one for one in target if one != PAD] for target in written[row, : len(every)].tolist()]
        assert found == ranked
        assert scores[row, : len(every)].tolist() == pytest.approx(sorted(truth, reverse=True), abs=1e-9)
        assert answer.decoded(longest, beam=len(every))[row].tolist() == written[row, 0].tolist()


@every_kind
def test_scores_of_a_narrow_beam_are_those_of_its_targets(kind: str) -> None:
    """Whatever it does not find, each score is true, and they fall."""
    model, longest = made(kind), 5
    source = sources(6, 4)
    answer = answered(model, source, shown(1), None)
    written, scores = answer.hypotheses(longest, 3)
    assert (scores.diff(dim=1) <= 0).all()
    for row in range(4):
        targets = [[one for one in target if one != PAD] for target in written[row].tolist()]
        assert scores[row].tolist() == pytest.approx(log_probabilities(model, source[row], targets), abs=1e-9)


def test_decoding_ends_when_all_have_written_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = made("seq2seq"), []
    whole = type(model).decode
    monkeypatch.setattr(type(model), "decode", lambda *given: asked.append(1) or whole(*given))
    head = head_of(model)
    with torch.no_grad():
        head.linear.bias[END] = 1e3
    answer = model.answer(head, sources(), shown(), LENGTHS)
    for beam in (1, 3):
        asked.clear()
        assert answer.decoded(30, beam)[:, :2].tolist() == [[END, PAD]] * 4
        assert len(asked) <= 3


def test_a_gpu_that_captures_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a graph is captured no value may be looked at: there decoding goes on to its longest."""
    assert encoder_decoder._all(torch.ones(3, dtype=torch.bool))
    assert not encoder_decoder._all(torch.tensor([True, False]))
    capturing = SimpleNamespace(is_cuda=True)  # without values
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert not encoder_decoder._all(capturing)  # type: ignore[arg-type]
