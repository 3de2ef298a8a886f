"""What a command needs not wait for."""

from __future__ import annotations

import subprocess
import sys

DESCRIBED = """
import sys
from seqbench.bench.describing import facts_of
for model in ("tcn", "lstm(initialization=orthogonal)", "gru", "rnn"):
    facts_of("adding", model, 200_000, 0.05, "linear(std=0.1)")
    facts_of("ptb-word", model, None, 0.01, "tied", "embedding(width=300)")
print(sorted({"torch._dynamo", "scipy.optimize"} & set(sys.modules)))
"""


def test_describing_imports_nothing_slow() -> None:
    """`torch._dynamo` takes longer than all else; torch wants it for nearly everything on its meta device."""
    ended = subprocess.run([sys.executable, "-c", DESCRIBED], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
