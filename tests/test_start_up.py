"""What a command needs not wait for."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys

import pytest

DESCRIBED = """
import sys
from seqbench.bench.experiments.describing import facts_of
for model in ("tcn", "lstm(initialization=orthogonal)", "gru", "rnn"):
    facts_of("adding", model, 200_000, 0.05, "linear(std=0.1)")
    facts_of("ptb-word", model, None, 0.01, "tied", "embedding(width=300)")
print(sorted({"torch._dynamo", "scipy.optimize"} & set(sys.modules)))
"""


def test_describing_imports_nothing_slow() -> None:
    """`torch._dynamo` takes longer than all else; torch wants it for nearly everything on its meta device."""
    ended = subprocess.run([sys.executable, "-c", DESCRIBED], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


AHEAD = """
import sys
from multiprocessing import forkserver
from seqbench.bench import cli
forkserver.ensure_running = lambda: sys.exit(f"torch: {'torch' in sys.modules}")
cli.main()
"""


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="there is none on Windows")
@pytest.mark.parametrize("verb", ["run", "verify"])
def test_the_fork_server_begins_before_torch_is_imported(verb: str) -> None:
    command = [sys.executable, "-c", AHEAD, verb, "results/quick"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (1, "torch: False\n")
