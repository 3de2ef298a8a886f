"""Real clusters of this machine: two nodes of one processor each, for tests that are run by `make cluster`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # else workers give way to whatever else the machine does
    "RAY_health_check_timeout_ms": "300000",  # a node that is slow to answer is not dead; one that is refuses at once
    "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "300",
}
ray: Any = pytest.importorskip("ray", reason="pip install 'seqbench[ray]'")
from ray import cluster_utils  # noqa: E402

NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "memory": 4 * 2**30}

LIMIT = 600
"""Seconds after which a scenario fails. It is there only so that a hang ends, and far more than is needed."""


def pytest_configure(config: pytest.Config) -> None:
    """Ray's own warnings are no faults of ours."""
    config.addinivalue_line("filterwarnings", "default")


@pytest.fixture(autouse=True)
def bounded_in_time() -> Iterator[None]:
    """Ends a scenario that hangs."""

    def end(number: int, frame: object) -> None:
        raise TimeoutError(f"the scenario did not end within {LIMIT} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def node() -> dict[str, Any]:
    """What a node is made with."""
    return NODE


@pytest.fixture(scope="session")
def two_nodes() -> Iterator[Any]:
    """A cluster of two nodes, to which this process is connected."""
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        made.add_node(**NODE)
        ray.init(made.address, log_to_driver=False, logging_level="error")
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
