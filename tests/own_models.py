"""Five models as people write them, each a file of its own: what a newcomer brings first.

`FILES` has their texts by name, `write` puts them into a folder; `NAMES` is how an experiment there names them.
"""

from __future__ import annotations

from pathlib import Path

FILES = {
    "heads.py": '''\
"""A causal Transformer of the obvious kind, whose heads must divide its width."""

import torch
from seqbench.models.base import Model as Base
from torch import nn


class Model(Base):
    def __init__(self, channels: int, *, width: int = 32, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.project = nn.Linear(channels, width)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.features, self.streamed = width, False

    def forward(self, inputs, state=None):
        mask = nn.Transformer.generate_square_subsequent_mask(inputs.shape[1], device=inputs.device)
        return self.encoder(self.project(inputs), mask=mask, is_causal=True), None
''',
    "eights.py": '''\
"""A recurrent network whose width must be a multiple of eight."""

from seqbench.models.base import Model as Base
from torch import nn


class Model(Base):
    def __init__(self, channels: int, *, width: int = 64) -> None:
        if width % 8:
            raise ValueError(f"width={width}: a multiple of 8 is needed")
        super().__init__()
        self.cell = nn.GRU(channels, width, batch_first=True)
        self.features = self.state_size = width
        self.receptive_field = None
        self.macs_per_step = 3 * width * (channels + width)

    def forward(self, inputs, state=None):
        features, state = self.cell(inputs, None if state is None else state.transpose(0, 1).contiguous())
        return features, state.transpose(0, 1)
''',
    "plain.py": '''\
"""A plain module of torch's kind: it knows nothing of seqbench."""

from torch import nn


class Net(nn.Module):
    def __init__(self, input_size, hidden_size=32, num_layers=1):
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True)

    def forward(self, x, state=None):
        return self.lstm(x, state)
''',
    "drops.py": '''\
"""Causal convolutions with torch's own dropout; no state."""

from torch import nn
from torch.nn import functional


class Net(nn.Module):
    def __init__(self, channels, width=24, dropout=0.2):
        super().__init__()
        self.first, self.second = nn.Conv1d(channels, width, 3), nn.Conv1d(width, width, 3, dilation=2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = x.transpose(1, 2)
        x = self.dropout(functional.relu(self.first(functional.pad(x, (2, 0)))))
        x = self.dropout(functional.relu(self.second(functional.pad(x, (4, 0)))))
        return x.transpose(1, 2)
''',
    "stacked.py": '''\
"""torch's LSTM of two layers, with its dropout between them."""

from seqbench.models.base import Model as Base
from torch import nn


class Model(Base):
    def __init__(self, channels: int, *, width: int = 32, dropout: float = 0.3) -> None:
        super().__init__()
        self.cell = nn.LSTM(channels, width, num_layers=2, dropout=dropout, batch_first=True)
        self.features, self.state_size, self.receptive_field = width, 4 * width, None
        self.macs_per_step = 4 * width * (channels + 3 * width)

    def forward(self, inputs, state=None):
        return self.cell(inputs, state)
''',
}
NAMES = ("heads.py", "eights.py", "plain.py:Net", "drops.py:Net", "stacked.py")

SYMMETRIC = '''\
"""A convolution that is padded on both sides, so that it sees the next step."""

from torch import nn


class Net(nn.Module):
    def __init__(self, channels, width=8):
        super().__init__()
        self.convolution = nn.Conv1d(channels, width, 3, padding=1)

    def forward(self, x):
        return self.convolution(x.transpose(1, 2)).transpose(1, 2)
'''


def write(folder: Path) -> Path:
    """The five files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "symmetric.py").write_text(SYMMETRIC, encoding="utf-8")
    return folder
