"""The rate of our own kernel's product: the product is right, and a floor takes the faster of the two rates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from seqbench.bench.measuring import machine, micro_kernel
from seqbench.bench.measuring.floors import Counts
from seqbench.bench.measuring.turns import floor_of
from seqbench.bench.report.tables import speed_table

COUNTS = Counts(operations=4e9, bytes=1e6)


def test_the_product_that_is_timed_is_a_product(thread: None) -> None:
    rows, steps, columns = micro_kernel.ROWS, micro_kernel.STEPS, micro_kernel.COLUMNS
    random = np.random.default_rng(1)
    a, b = random.random((rows, steps), np.float32), random.random((steps, columns), np.float32)
    out = np.zeros((rows, columns), np.float32)
    micro_kernel._again(out, a, b, rows, steps, columns, 3)
    np.testing.assert_allclose(out, 3 * (a @ b), rtol=1e-5)


def test_both_rates_are_measured(monkeypatch: pytest.MonkeyPatch, thread: None) -> None:
    monkeypatch.setattr(machine, "PRODUCT", 64)
    monkeypatch.setattr(machine, "COPY", 1 << 12)
    monkeypatch.setattr(micro_kernel, "LONG_ENOUGH", 1e-4)
    found = machine.rates(torch.device("cpu"), 1)
    assert set(found) == {"micro_kernel_gflops", "matrix_product_gflops", "memory_copy_gbps"}
    assert min(found.values()) > 0


def test_a_floor_is_of_the_faster_product() -> None:
    torchs = {"matrix_product_gflops": 200.0, "memory_copy_gbps": 10.0}
    assert floor_of(COUNTS, torchs) == 20.0
    assert floor_of(COUNTS, torchs | {"micro_kernel_gflops": 250.0}) == 16.0
    assert floor_of(COUNTS, torchs | {"micro_kernel_gflops": 100.0}) == 20.0


@pytest.mark.parametrize(
    ("rates", "said"), [({}, "large matrix product"), ({"micro_kernel_gflops": 1.0}, "our kernel's")]
)
def test_what_the_floor_is_of_is_said(rates: dict[str, float], said: str) -> None:
    row = {"task": "adding", "model": "gru", "ours_ms": 1.0}
    texts = [block for block in speed_table.blocks({"machine": rates, "rows": [row]}) if isinstance(block, str)]
    assert any(
        f"at the rates of this machine's {'' if not rates else 'matrix products (torch'}" in one for one in texts
    )
    assert any(said in one for one in texts)
