"""Known sizes, costs and reach: counted by the reference protocol from the published code and from `torch.nn`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from seqbench.models import gru, heads, lstm, network, rnn, tcn
from torch import nn

CLASSES: dict[str, Any] = {"rnn": rnn.Model, "lstm": lstm.Model, "gru": gru.Model, "tcn": tcn.Model}
ADDING, MNIST, COPY, COPY_ONE_HOT, MUSIC = (2, 1), (1, 10), (1, 10), (10, 10), (88, 88)
"""Channels and outputs of the tasks."""


def parameters_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def network_size(name: str, channels: int, outputs: int, **options: Any) -> int:
    """Parameters of body and linear head."""
    with torch.device("meta"):
        body = CLASSES[name](channels, **options)
        return network.Network(body, heads.Linear(body.features, outputs), reads=None).parameter_count


@pytest.mark.parametrize(
    ("shape", "kernel", "levels", "width", "expected"),
    [
        pytest.param(ADDING, 6, 7, 27, 58_051, id="adding-200"),
        pytest.param(ADDING, 7, 7, 27, 67_582, id="adding-400"),
        pytest.param(ADDING, 8, 8, 24, 70_369, id="adding-600"),
        pytest.param(ADDING, 7, 8, 30, 96_001, id="adding-code-default"),
        pytest.param(MNIST, 7, 8, 25, 66_910, id="mnist-25"),
        pytest.param(MNIST, 6, 8, 20, 37_010, id="mnist-20"),
        pytest.param(COPY, 6, 9, 10, 10_750, id="copy-500"),
        pytest.param(COPY, 8, 8, 10, 12_530, id="copy-1000"),
        pytest.param(COPY_ONE_HOT, 8, 8, 10, 13_230, id="copy-1000-one-hot"),
        pytest.param(COPY, 8, 9, 10, 14_170, id="copy-2000"),
        pytest.param(MUSIC, 3, 2, 150, 269_938, id="jsb"),
        pytest.param(MUSIC, 6, 4, 150, 1_053_238, id="nottingham"),
        pytest.param(MUSIC, 5, 4, 150, 882_538, id="music-code-default"),
    ],
)
def test_published_tcn_sizes(shape: tuple[int, int], kernel: int, levels: int, width: int, expected: int) -> None:
    assert network_size("tcn", *shape, kernel=kernel, levels=levels, width=width) == expected


@pytest.mark.parametrize(
    ("channels", "kernel", "widths", "outside", "expected"),
    [
        pytest.param(600, 3, (600,) * 4, 10_000 * 600 + 10_000, 14_659_600, id="word-ptb-tied"),
        pytest.param(400, 3, (*(1000,) * 4, 400), 267_735 * 400 + 267_735, 132_060_735, id="wikitext-103-tied"),
        pytest.param(500, 4, (500,) * 5, 93_216 * 500 + 93_216, 56_711_216, id="lambada-tied"),
        pytest.param(100, 3, (450, 450, 100), 49 * 100 + 49, 2_221_999, id="char-ptb-tied"),
        pytest.param(100, 3, (450,) * 3, 50 * 100 + 450 * 50 + 50, 3_250_900, id="char-ptb-untied"),
        pytest.param(100, 2, (*(520,) * 4, 100), 27 * 100 + 27, 4_129_667, id="text8-tied"),
    ],
)
def test_published_language_tcn_sizes(
    channels: int, kernel: int, widths: tuple[int, ...], outside: int, expected: int
) -> None:
    with torch.device("meta"):
        body = tcn.Model(channels, kernel=kernel, widths=widths)
    assert parameters_of(body) + outside == expected
    assert body.features == widths[-1]


@pytest.mark.parametrize(
    ("shape", "name", "one_layer", "two_layers"),
    [
        pytest.param(*row, id=f"{task}-{row[1]}")
        for task, *row in [
            ("mnist", MNIST, "lstm", (127, 67_320), (73, 66_148)),
            ("mnist", MNIST, "gru", (146, 66_732), (85, 67_160)),
            ("mnist", MNIST, "rnn", (252, 66_790), (147, 67_042)),
            ("adding-600", ADDING, "lstm", (131, 70_872), (76, 71_213)),
            ("adding-600", ADDING, "gru", (151, 70_367), (87, 69_775)),
            ("adding-600", ADDING, "rnn", (263, 70_485), (152, 70_377)),
            ("adding-code-default", ADDING, "lstm", (153, 96_238), (88, 95_129)),
            ("adding-code-default", ADDING, "gru", (177, 96_289), (102, 95_575)),
            ("adding-code-default", ADDING, "rnn", (307, 95_785), (178, 96_299)),
            ("copy", COPY, "lstm", (53, 12_412), (31, 12_472)),
            ("copy", COPY, "gru", (62, 12_720), (36, 12_574)),
            ("copy", COPY, "rnn", (106, 12_624), (62, 12_472)),
            ("copy-one-hot", COPY_ONE_HOT, "lstm", (51, 13_372), (31, 13_588)),
            ("copy-one-hot", COPY_ONE_HOT, "gru", (59, 13_167), (36, 13_546)),
            ("copy-one-hot", COPY_ONE_HOT, "rnn", (105, 13_345), (63, 13_429)),
            ("jsb", MUSIC, "lstm", (210, 270_568), (132, 269_368)),
            ("jsb", MUSIC, "gru", (246, 269_704), (154, 269_588)),
            ("jsb", MUSIC, "rnn", (438, 269_896), (271, 269_191)),
            ("nottingham", MUSIC, "lstm", (460, 1_052_568), (278, 1_054_264)),
            ("nottingham", MUSIC, "gru", (536, 1_053_864), (322, 1_050_452)),
            ("nottingham", MUSIC, "rnn", (941, 1_053_067), (563, 1_052_335)),
            ("music-code-default", MUSIC, "lstm", (417, 882_460), (253, 883_564)),
            ("music-code-default", MUSIC, "gru", (486, 882_664), (294, 885_028)),
            ("music-code-default", MUSIC, "rnn", (855, 883_303), (513, 881_935)),
        ]
    ],
)
def test_size_matched_recurrent_nets(
    shape: tuple[int, int], name: str, one_layer: tuple[int, int], two_layers: tuple[int, int]
) -> None:
    for layers, (width, expected) in enumerate((one_layer, two_layers), start=1):
        assert network_size(name, *shape, width=width, layers=layers) == expected


@pytest.mark.parametrize(
    ("shape", "layers", "width", "expected"),
    [
        pytest.param(ADDING, 2, 77, 73_074, id="adding-200"),
        pytest.param(ADDING, 1, 130, 69_811, id="adding-600"),
        pytest.param(MNIST, 1, 130, 70_470, id="mnist"),
        pytest.param(COPY, 1, 50, 11_110, id="copy-1000"),
        pytest.param(COPY_ONE_HOT, 1, 50, 12_910, id="copy-1000-one-hot"),
        pytest.param(COPY, 3, 28, 16_754, id="copy-2000"),
        pytest.param(MUSIC, 2, 200, 571_288, id="jsb"),
        pytest.param(MUSIC, 3, 280, 1_698_008, id="nottingham"),
        pytest.param(MUSIC, 1, 500, 1_224_088, id="nottingham-wide"),
    ],
)
def test_published_lstm_sizes(shape: tuple[int, int], layers: int, width: int, expected: int) -> None:
    assert network_size("lstm", *shape, layers=layers, width=width) == expected


def test_reset_before_has_the_size_of_reset_after() -> None:
    assert network_size("gru", 3, 2, width=9, layers=2, reset="before") == network_size("gru", 3, 2, width=9, layers=2)


@pytest.mark.parametrize(
    ("kernel", "levels", "expected"),
    [(3, 2, 13), (5, 4, 121), (6, 4, 151), (7, 5, 373), (2, 5, 63), (3, 4, 61), (3, 3, 29), (1, 4, 1)],
)
def test_receptive_field_is_the_support_of_the_gradient(kernel: int, levels: int, expected: int) -> None:
    model = tcn.Model(1, kernel=kernel, levels=levels, width=3).double()
    assert model.receptive_field == expected
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()  # with nothing negative no ReLU cuts a path
    inputs = torch.ones(1, expected + 5, 1, dtype=torch.float64, requires_grad=True)
    model(inputs)[0][:, -1].sum().backward()
    assert inputs.grad is not None
    touched = inputs.grad[0, :, 0] != 0
    assert touched[5:].all()
    assert not touched[:5].any()


@pytest.mark.parametrize(
    ("kernel", "levels", "expected"),
    [(6, 7, 1271), (7, 7, 1525), (8, 8, 3571), (7, 8, 3061), (6, 8, 2551), (6, 9, 5111), (8, 9, 7155)],
)
def test_receptive_field_of_the_published_sizes(kernel: int, levels: int, expected: int) -> None:
    with torch.device("meta"):
        assert tcn.Model(1, kernel=kernel, levels=levels).receptive_field == expected


@pytest.mark.parametrize(
    ("name", "channels", "options", "expected"),
    [
        ("rnn", 3, {"width": 5, "layers": 2}, (3 * 5 + 5 * 5) + (5 * 5 + 5 * 5)),
        ("lstm", 3, {"width": 5, "layers": 2}, 4 * (3 * 5 + 5 * 5) + 4 * (5 * 5 + 5 * 5)),
        ("gru", 3, {"width": 5, "layers": 2}, 3 * (3 * 5 + 5 * 5) + 3 * (5 * 5 + 5 * 5)),
        ("gru", 3, {"width": 5, "reset": "before"}, 3 * (3 * 5 + 5 * 5)),
        ("tcn", 2, {"kernel": 3, "widths": (4, 4)}, (3 * 2 * 4 + 3 * 4 * 4 + 2 * 4) + (3 * 4 * 4 + 3 * 4 * 4)),
        ("tcn", 2, {"kernel": 3, "widths": (2, 5), "weight_norm": False}, 2 * 3 * 2 * 2 + 3 * 10 + 3 * 25 + 10),
    ],
)
def test_multiply_adds_by_hand(name: str, channels: int, options: dict[str, Any], expected: int) -> None:
    assert CLASSES[name](channels, **options).macs_per_step == expected


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("rnn", {"width": 5, "layers": 3}, 15),
        ("lstm", {"width": 5, "layers": 3}, 30),
        ("gru", {"width": 5, "layers": 3}, 15),
        ("tcn", {"kernel": 4, "widths": (5, 6)}, 3 * (2 + 5) * 1 + 3 * (5 + 6) * 2),
    ],
)
def test_state_size_by_hand(name: str, options: dict[str, Any], expected: int) -> None:
    assert CLASSES[name](2, **options).state_size == expected
