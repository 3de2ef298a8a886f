"""Texts as windows, checked against plain Python: every token counted once, and what a model has seen before it."""

from __future__ import annotations

import math
import random

import pytest
import torch
from seqbench.tasks._windows import Windows
from seqbench.tasks.base import Batch
from seqbench.tasks.datasets import DataError


def counting(tokens: int, context: int, scored: int, streams: int = 1, whole: bool = False) -> Windows:
    """A text of the tokens 1, 2, … after a 0: the input at a position is its number, the target one more."""
    ids = torch.arange(tokens + 1, dtype=torch.int16 if tokens < 1 << 15 else torch.int32)
    return Windows(ids, context, scored, "text.txt", streams, whole)


def steps_of(text: Windows) -> list[Batch]:
    """The batches of all steps, the streams side by side."""
    return [text.batch(index) for index in torch.arange(len(text)).split(text.streams)]


def some_shapes() -> list[tuple[int, int, int, int]]:
    """Tokens, context, scored, streams: small ones at random, and the edges."""
    draw = random.Random(5)
    shapes = [(2, 1, 1, 1), (7, 0, 7, 3), (30, 4, 3, 16), (30, 4, 26, 1), (82, 4, 4, 16), (100, 10, 9, 10)]
    for _ in range(60):
        context, scored, streams = draw.randint(0, 9), draw.randint(1, 9), draw.randint(1, 12)
        shapes.append((context + scored + draw.randint(0, 120), context, scored, streams))
    return shapes


every_shape = pytest.mark.parametrize(("tokens", "context", "scored", "streams"), some_shapes())


@every_shape
def test_evaluation_counts_every_token_once(tokens: int, context: int, scored: int, streams: int) -> None:
    text = counting(tokens, context, scored, streams, whole=True)
    assert text.streams == streams
    assert text.context == context
    assert text.in_streams(streams + 1) is text
    chunk = math.ceil((tokens - context) / streams)
    assert len(text) == streams * math.ceil(chunk / scored)
    expected = {}  # (step, stream, column from the right) -> (position, in the scored set), written out one by one
    for position in range(tokens):
        stream, place = divmod(position - context, chunk) if position >= context else (0, position - context)
        step, column = divmod(max(place, 0), scored) if place >= 0 else (0, place)
        expected[step, stream, scored - column] = (position, position >= context)
    found = {}
    for step, batch in enumerate(steps_of(text)):
        assert batch.mask is not None
        assert batch.group is not None
        reads = context + scored if step == 0 else scored
        assert batch.reads == reads
        assert batch.inputs.shape == (streams, context + scored)
        assert batch.targets.shape == batch.mask.shape == batch.group.shape == (streams, reads)
        assert (batch.inputs.dtype, batch.targets.dtype) == (torch.int64, torch.int64)
        assert (batch.mask.dtype, batch.group.dtype) == (torch.bool, torch.int8)
        for stream, column in batch.mask.nonzero().tolist():
            position = int(batch.targets[stream, column]) - 1
            assert int(batch.inputs[stream, context + scored - reads + column]) == position
            in_set = bool(batch.group[stream, column])
            assert (step, stream, reads - column) not in found
            found[step, stream, reads - column] = (position, in_set)
            if in_set:  # what comes before it in the window is the text before it, `context` tokens at least
                before = batch.inputs[stream, : context + scored - reads + column].tolist()
                assert before == [*range(position - len(before), position)]
                assert len(before) >= context
    assert found == expected


@every_shape
def test_whatever_way_windows_are_batched(tokens: int, context: int, scored: int, streams: int) -> None:
    text = counting(tokens, context, scored, streams, whole=True)
    totals = [0, 0]
    order = torch.randperm(len(text), generator=torch.Generator().manual_seed(1))
    for index in order.split(3):
        batch = text.batch(index)
        assert batch.mask is not None
        assert batch.group is not None
        for group in (0, 1):
            totals[group] += int(batch.targets[batch.mask & (batch.group == group)].sum())
    assert totals == [sum(range(1, context + 1)), sum(range(context + 1, tokens + 1))]


@every_shape
def test_training_shows_full_windows_that_follow_one_another(
    tokens: int, context: int, scored: int, streams: int
) -> None:
    alone = counting(tokens, context, scored)
    chunk = (tokens - context) // streams
    if chunk < scored:
        most = (tokens - context) // scored
        message = (
            f"^text.txt: {streams} streams leave no full window of {scored} tokens each; {most} streams are the most$"
        )
        with pytest.raises(ValueError, match=message):
            alone.in_streams(streams)
        assert len(alone.in_streams(most)) >= most
        return
    text = alone.in_streams(streams)
    assert text.ids.data_ptr() == alone.ids.data_ptr()
    assert text.streams == streams
    assert len(text) == streams * (chunk // scored)
    targets: list[list[int]] = [[] for _ in range(streams)]
    carried: list[list[int]] = [[] for _ in range(streams)]
    for step, batch in enumerate(steps_of(text)):
        assert set(batch[2:]) == {None}
        assert batch.inputs.shape == (streams, context + scored)
        assert batch.targets.shape == (streams, scored)
        assert torch.equal(batch.inputs[:, context + 1 :], batch.targets[:, :-1])  # the same, shifted by one
        for stream in range(streams):
            targets[stream] += batch.targets[stream].tolist()
            carried[stream] += batch.inputs[stream, 0 if step == 0 else context :].tolist()
    for stream in range(streams):
        first = context + stream * chunk
        shown = chunk // scored * scored
        assert targets[stream] == [*range(first + 1, first + shown + 1)]
        assert carried[stream] == [*range(first - context, first + shown)]  # what a model that carries its state reads
    left_out = tokens - context - sum(map(len, targets))
    assert left_out < streams * scored + streams


def test_a_model_that_carries_its_state_reads_the_text_without_a_gap() -> None:
    text = counting(100, 4, 5, 3, whole=True)  # chunks of 32 positions
    read: list[list[int]] = [[], [], []]
    for step, batch in enumerate(steps_of(text)):
        for stream in range(3):
            read[stream] += batch.inputs[stream, 0 if step == 0 else 4 :].tolist()
    for stream, inputs in enumerate(read):
        inside = [position for position in inputs if position < 100]
        assert inside == [*range(32 * stream, min(32 * stream + 4 + 35, 100))]


def test_moving_keeps_everything() -> None:
    for whole in (False, True):
        text = counting(50, 3, 4, 5, whole)
        moved = text.to(torch.device("cpu"))
        assert (len(moved), moved.streams, moved.context) == (len(text), 5, 3)
        ours, theirs = text.batch(torch.tensor([6, 1])), moved.batch(torch.tensor([6, 1]))
        assert all(
            torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b
            for a, b in zip(ours, theirs, strict=True)
        )


@pytest.mark.parametrize("whole", [False, True])
def test_the_host_never_waits_for_the_device(whole: bool) -> None:
    """On the meta device there are shapes and no numbers: who asks for one fails."""
    text = counting(50, 3, 4, 5, whole).to(torch.device("meta"))
    index = torch.arange(5, device="cpu" if whole else "meta")  # what is evaluated may need the step on the host
    batch = text.batch(index)
    assert (batch.inputs.device.type, batch.inputs.shape) == ("meta", (5, 7))
    assert (batch.targets.device.type, batch.targets.shape) == ("meta", (5, 7 if whole else 4))


@pytest.mark.parametrize("whole", [False, True])
def test_a_text_shorter_than_one_window_is_refused(whole: bool) -> None:
    assert len(counting(7, 3, 4, 1, whole)) == 1
    with pytest.raises(DataError, match=r"^text.txt: 6 tokens are a text shorter than one window of 3 \+ 4: "):
        counting(6, 3, 4, 1, whole)
