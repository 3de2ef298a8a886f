"""What a step must cost at least: its operations and its bytes, counted, over what the machine was seen to do.

Counted is the arithmetic of the plain step: three matrix products for each multiply-add of the forward pass (forward,
gradient of the inputs, gradient of the weights), and the bytes that have to move if nothing that two layers share stays
in a cache. An implementation that leaves out what nobody reads (a convolution whose result does not reach the step
that is scored) does less than that, and one that keeps a layer's result in the cache moves less; both may come out
below the floor, and that is then what it says.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

FLOAT = 4
"""Bytes of a float32."""


class Counts(NamedTuple):
    """Floating-point operations and bytes of one training step."""

    operations: float
    bytes: float


class Layout(NamedTuple):
    """What is counted of a step: B sequences of T steps, R of them read.

    channels: C, what the body reads at each step. written: numbers that its layers write at each step. outputs: O.
    body, head: multiply-adds, for each step and for each step that is read. parameters: of the whole network.
    states: numbers that the optimizer keeps for each parameter.
    """

    batch: int
    steps: float
    reads: float
    channels: int
    written: int
    outputs: int
    body: int
    head: int
    parameters: int
    states: int


def count(layout: Layout) -> Counts:
    """The operations and bytes of a step.

    operations: 3 x 2 for each multiply-add. bytes, of float32: the body's inputs read forward and for the weights'
    gradient; what each layer writes, written and read, and its gradient likewise; the outputs in the same way; each
    parameter read forward and backward, its gradient written and read, itself read and written by the optimizer, and
    the optimizer's numbers read and written.

    >>> count(Layout(batch=2, steps=10, reads=1, channels=3, written=5, outputs=4, body=40, head=20,
    ...     parameters=60, states=2))
    Counts(operations=5040.0, bytes=4608.0)
    """
    steps, reads = layout.batch * layout.steps, layout.batch * layout.reads
    operations = 6.0 * (steps * layout.body + reads * layout.head)
    activations = 2 * steps * layout.channels + 4 * steps * layout.written + 4 * reads * layout.outputs
    return Counts(operations, float(FLOAT * (activations + layout.parameters * (6 + 2 * layout.states))))


def states_of(optimizer: torch.optim.Optimizer) -> int:
    """Numbers that an optimizer keeps for each parameter, once it has made a step."""
    kept = sum(
        value.numel()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor) and value.numel() > 1
    )
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    return round(kept / sum(one.numel() for one in parameters if isinstance(one, nn.Parameter)))


def floor_ms(counts: Counts, gflops: float, gbps: float) -> float:
    """Milliseconds that the slower of the two needs, the other hidden behind it.

    gflops: billions of operations a second of the fastest matrix product seen. gbps: billions of bytes a second, read
    and written, of a large copy.
    """
    return 1e-6 * max(counts.operations / gflops, counts.bytes / gbps)
