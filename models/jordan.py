"""The Jordan network: what goes back into the hidden layer is the output, not the hidden state."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from . import base
from ._options import at_least, probability


class Model(base.Model):
    """Jordan network (Jordan 1986): recurrence from the output to the hidden layer.

    For inputs x_t (C,), hidden units h_t (W,), outputs y_t (M,) and what is remembered of earlier outputs s_t (M,),
    from s_0 = 0,

        h_t = tanh(A x_t + U s_{t-1} + a)       A (W, C), U (W, M)
        y_t = tanh(V h_t + b)                   V (M, W)
        s_t = μ s_{t-1} + y_t                   Jordan's state units; μ = 0: the last output alone

    and for each further layer the same with the outputs of the layer below in place of x. Features: y_t of the last
    layer. All that a step knows of the past has gone through the M numbers of the step before, which are also its
    answer; that is what makes it weaker than an RNN, whose hidden states are free to hold something else (Goodfellow,
    Bengio & Courville 2016, section 10.2.1). The read-out of the task stands behind y, outside of the loop.

    Parameters of a layer: C·W + 2·M·W + W + M. State: one s (B, M) for each layer.

    width: W. outputs: M; none: as many as hidden units. memory: μ, at least 0 and below 1. Matrices and a, b begin
    uniform in ±1/√(number of their inputs), as `torch.nn.Linear` has it. Steps are computed one after the other by
    torch's operations. Raises ValueError where an option is out of its range.

    Source: M. I. Jordan, Serial order: a parallel distributed processing approach, Institute for Cognitive Science
    report 8604, University of California, San Diego (1986).
    """

    version = 1
    sized_by = "width"
    variants = ("jordan(outputs=4)", "jordan(memory=0.5)")
    source = "Jordan 1986, Serial order: a parallel distributed processing approach"
    look = ("#4F7CAC", "<", (1, 1, 3, 1))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 2, "memory": 0.5}
    carries = True

    def __init__(
        self, channels: int, *, width: int = 64, outputs: int | None = None, layers: int = 1, memory: float = 0.0
    ) -> None:
        super().__init__()
        outputs = width if outputs is None else outputs
        at_least(1, channels=channels, width=width, outputs=outputs, layers=layers)
        probability(memory=memory)
        self.inward = nn.ModuleList(nn.Linear(channels if layer == 0 else outputs, width) for layer in range(layers))
        self.back = nn.ModuleList(nn.Linear(outputs, width, bias=False) for _ in range(layers))
        self.outward = nn.ModuleList(nn.Linear(width, outputs) for _ in range(layers))
        self.memory = memory
        self.features = outputs
        self.state_size = layers * outputs
        self.receptive_field = None
        self.macs_per_step = width * (channels + (layers - 1) * outputs + 2 * layers * outputs)

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        """Outputs (B, T, M) of inputs (B, T, C), and the list of each layer's s (B, M) after the last step."""
        before = [inputs.new_zeros(len(inputs), self.features)] * len(self.back) if state is None else state
        features, after = inputs, []
        layers = zip(self.inward, self.back, self.outward, before, strict=True)
        for inward, back, outward, remembered in layers:
            said = []
            for step in inward(features).unbind(1):  # T times (B, W)
                output = torch.tanh(outward(torch.tanh(step + back(remembered))))  # (B, M)
                remembered = self.memory * remembered + output
                said.append(output)
            features = torch.stack(said, 1)  # (B, T, M)
            after.append(remembered)
        return features, after
