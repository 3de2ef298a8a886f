"""What YAML 1.2 means by what people write, and the limits of an experiment's file: each is one line, at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from seqbench.bench.experiments.config import load
from test_config import loaded, refusal, row


def three_axes() -> str:
    """Three settings of 59 values each."""
    numbers = [str(number) for number in range(1, 60)]
    return "{" + ", ".join(f"{key}: [{', '.join(numbers)}]" for key in ("batch", "epochs", "warmup")) + "}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            row(training="{learning_rate: 1e999}"),
            "5: training: learning_rate=inf: a number is needed, of at most 9e+18",
        ),
        (
            row(training=f"{{batch: {'9' * 400}}}"),
            f"5: training: batch={'9' * 60}…: a whole number is needed, of at most",
        ),
        (
            row(training=f"{{learning_rate: {'9' * 400}}}"),
            f"5: training: learning_rate={'9' * 60}…: a number is needed",
        ),
        (row(training=f"{{batch: {'9' * 5000}}}"), " not YAML: Exceeds the limit"),
        (row(parameters="010"), "4: rnn: no width comes within 1.0% of 10 parameters"),
        (row(parameters="12:30"), "5: rows: parameters='12:30': a whole number or none is needed"),
        ("seeds: 1000000000\n" + row(), "1: 1,000,000,000 seeds; an experiment has at most 100,000 runs"),
        (row("adding(length=" + "[" * 9000), " brackets within brackets, 9,001 deep; 50 are allowed"),
        ("a:" + "".join(f"\n{' ' * i}b:" for i in range(1, 900)), " not YAML: it contains itself, or is nested"),
        ('question: "a \\ud800"\n' + row(), "1: '\\ud800' is half a character, which no file can have"),
        ("x: " + "y" * (1 << 20), " 1,048,579 characters; an experiment has at most 1,048,576"),
        (
            "a: &a0 [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"b{i}: &a{i + 1} [{','.join([f'*a{i}'] * 10)}]\n" for i in range(9)),
            "1: more than 100,000 values; does an alias repeat itself?",
        ),
        (
            row(training=three_axes()),
            "4: rnn: 205,379 runs; an experiment has at most 100,000",
        ),
    ],
)
def test_what_is_too_much_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text).startswith(message)


def test_yaml_as_people_write_it(tmp_path: Path) -> None:
    """By YAML 1.2 `010` is ten and `1e-3` a number; `none` is none; a mapping takes another in, and changes it."""
    text = """question: Q
rows:
- task: adding(length=20)
  models: [rnn]
  training: &base {learning_rate: 1e-3, clip: none, epochs: 010, optimizer: sgd}
- task: copy-memory(delay=20)
  models: [rnn]
  embedding: none
  training:
    <<: *base
    epochs: 2
"""
    one, other = (cell.runs[0] for cell in loaded(tmp_path, text).cells)
    assert (one.training.learning_rate, one.training.clip, one.training.epochs) == (0.001, None, 10)
    assert other.training == replace(one.training, epochs=2)


def test_a_byte_order_mark_and_carriage_returns(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_bytes(b"\xef\xbb\xbf" + row().replace("\n", "\r\n").encode())
    assert len(load(tmp_path).runs) == 1
