"""Ray as the engine of a `cluster.Cluster`: attempts are its tasks, and an actor without a processor carries letters.

Ray's own retries are switched off, because an attempt that failed is begun again by what was the matter: with more
memory, or with the runs only that have not ended. Nothing is written into Ray's object store but small results.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from typing import Any

import grpc
import ray
import ray.exceptions as failures

from ..errors import UsageError
from .backend import Gone, Job
from .cluster import Cause, Ended, Failed, Needs, News, Told, refuse
from .ray_connection import connect
from .supervision import Letter, Ticket, supervise

LOST = (ConnectionError, failures.RaySystemError, failures.RpcError, failures.GetTimeoutError, grpc.RpcError)
"""What Ray raises where the connection to its cluster is lost; the last is its client's, where a new head is there."""
MEBIBYTE = 2**20
LOOK_EVERY = 10.0
"""Seconds between two looks at what nodes there are."""
LETTERS_A_SECOND = 200
"""Messages that the actor gets at most from all nodes together: it can do some thousands."""
GATHERED = 0.1
"""Seconds for which letters are gathered: the driver looks at all outstanding tasks whenever it gets some."""


class Mailbox:
    """Between tasks and driver: letters in one direction, the word to stop in the other. One that is lost is replaced
    by an empty one; then the letters come with the end of the tasks.
    """

    def __init__(self) -> None:
        self._letters: list[tuple[Ticket, list[Letter]]] = []
        self._stopping = False
        self._arrived = asyncio.Event()

    async def put(self, ticket: Ticket, letters: list[Letter]) -> bool:
        """Takes letters of a task; whether it is to stop."""
        self._letters.append((ticket, letters))
        self._arrived.set()
        return self._stopping

    async def take(self, timeout: float, stopping: bool) -> list[tuple[Ticket, list[Letter]]]:
        """Gives all letters to the driver, at once where there are some. stopping: what tasks are told from now on."""
        self._stopping = stopping
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), timeout)
            await asyncio.sleep(GATHERED)  # of many tasks many come at the same time
        self._arrived.clear()
        letters, self._letters = self._letters, []
        return letters


class _Line:
    """The way of a task to the mailbox: one message at a time, so that a slow mailbox is not flooded."""

    def __init__(self, mailbox: Any, ticket: Ticket) -> None:
        self._mailbox, self._ticket = mailbox, ticket
        self._under_way: Future[bool] | None = None
        self._stopping = False

    def send(self, letters: list[Letter]) -> bool:
        self._listen()
        if self._under_way is not None:
            return False
        self._under_way = self._mailbox.put.remote(self._ticket, letters).future()
        return True

    def stopping(self) -> bool:
        self._listen()
        return self._stopping

    def _listen(self) -> None:
        """Asks the future: a task that calls `ray.wait` counts as blocked, and Ray gives its processor to another."""
        if self._under_way is not None and self._under_way.done():
            with contextlib.suppress(failures.RayError):  # what was in it comes with the end of the task
                self._stopping = self._under_way.result() or self._stopping
            self._under_way = None


def attempt(ticket: Ticket, job: Job, mailbox: Any, every: float, storage: str | None) -> list[Letter]:
    """What a task does."""
    facts = {"engine": f"ray {ray.__version__}", "address": ray.util.get_node_ip_address()}
    return supervise(job, _Line(mailbox, ticket), every, storage, facts)


class Ray:
    """The connection to a cluster.

    address: as `ray.init` has it, such as ray://HOST:10001; None: the one that RAY_ADDRESS names, else one on this
    machine. storage: the URL that tasks keep checkpoints at. A connection that the program has already is used, and
    stays. Raises UsageError where there is no cluster, or one of another version.
    """

    def __init__(self, address: str | None = None, storage: str | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self.storage = storage
        self._gone = False
        self._own = not ray.is_initialized()
        if self._own:
            connect(address)
        self._mailbox = _actor()
        self._taking: Any = None
        self._attempt = ray.remote(max_retries=0, max_calls=0)(attempt)
        self._tickets: dict[Any, Ticket] = {}
        self._references: dict[Ticket, Any] = {}
        self._nodes: list[dict[str, float]] = []
        self._looked_at = -LOOK_EVERY

    def check(self, needs: Needs) -> Needs:
        """The same, with no more memory than the largest node has. Raises UsageError where no node has the rest."""
        fitting = [node for node in self._look() if _fits(needs, node)]
        if not fitting:
            kinds = sorted({f"{node.get('CPU', 0):g} processors, {node.get('GPU', 0):g} GPU" for node in self._look()})
            raise refuse(needs, f"its nodes have {'; '.join(kinds) or 'nothing'} each")
        most = max(node.get("memory", 0.0) for node in fitting) / MEBIBYTE
        return Needs(needs.cpus, needs.gpus, min(needs.memory, most))

    def capacity(self, needs: Needs) -> int:
        """How many attempts with such needs the nodes could do at once."""
        return sum(_times(needs, node) for node in self._look() if "count" not in node)

    def start(self, ticket: Ticket, job: Job, needs: Needs) -> None:
        """Submits a task."""
        every = max(1.0, self.capacity(needs) / LETTERS_A_SECOND)
        options = {"num_cpus": needs.cpus, "memory": int(needs.memory * MEBIBYTE), "name": _name(job)}
        if needs.gpus:
            options["num_gpus"] = needs.gpus
        with self._unless_gone():
            task = self._attempt.options(**options)
            reference = task.remote(ticket, job, self._mailbox, every, self.storage)
        self._tickets[reference] = ticket
        self._references[ticket] = reference

    def news(self, timeout: float, stopping: bool) -> list[News]:
        """Letters that have come, and tasks that have ended. Raises Gone where the cluster is no more."""
        found: list[News] = []
        with self._unless_gone((Exception,)):  # a new head answers a question about what it does not know by just that
            if self._taking is None:
                self._taking = self._mailbox.take.remote(1.0, stopping)
            waited = [self._taking, *self._tickets]
            ready, _ = ray.wait(waited, num_returns=1, timeout=timeout)
            if ready:  # whatever else is there already
                ready, _ = ray.wait(waited, num_returns=len(waited), timeout=0)
        with self._unless_gone():
            for reference in ready:
                if reference is self._taking or reference == self._taking:
                    self._taking = None
                    try:
                        found += [Told(ticket, letters) for ticket, letters in ray.get(reference)]
                    except failures.ActorDiedError:
                        self._mailbox = _actor()
                    except failures.ActorUnavailableError:
                        pass
                else:
                    found.append(self._end(reference))
        return sorted(found, key=lambda one: not isinstance(one, Told))  # what was said before an end

    def cancel(self, ticket: Ticket, at_once: bool) -> None:
        """Cancels a task; its end is news, unless it was at once."""
        reference = self._references.get(ticket)
        if reference is None or self._gone:
            return
        with contextlib.suppress(failures.RayError, *LOST, ValueError, RuntimeError):
            ray.cancel(reference, force=at_once)
        if at_once:
            self._tickets.pop(reference, None)
            del self._references[ticket]

    def close(self) -> None:
        """Ends the connection where it is our own: then also a cluster that was started for it.

        The mailbox ends when nobody has a handle of it. Were it killed, Ray would print what it was just doing.
        """
        self._mailbox = self._taking = None
        if self._own:
            with contextlib.suppress(Exception):
                ray.shutdown()

    @contextlib.contextmanager
    def _unless_gone(self, kinds: tuple[type[Exception], ...] = LOST) -> Iterator[None]:
        """Within it a lost connection is Gone. Afterwards Ray must be asked nothing: it would look for a cluster.

        kinds: which errors mean that.
        """
        try:
            yield
        except kinds as error:
            self._gone = True
            reason = " ".join(str(error).split())[:200]
            raise Gone(f"the cluster is gone ({reason}); the same command goes on once it is back") from error

    def _end(self, reference: Any) -> News:
        ticket = self._tickets.pop(reference)
        del self._references[ticket]
        try:
            return Ended(ticket, ray.get(reference))
        except failures.RayError as error:
            cause, text = _reason(error)
            reason = getattr(error, "cause", None)
            if cause == "task" and isinstance(reason, ImportError):
                raise UsageError(f"a node of the cluster lacks the suite or a package of it: {reason}") from error
            return Failed(ticket, cause, text)

    def _look(self) -> list[dict[str, float]]:
        """What each node has, and with `count` what the cluster may add; asked for anew every few seconds."""
        if time.monotonic() - self._looked_at >= LOOK_EVERY:
            with self._unless_gone():
                self._nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]] + _to_come()
            self._looked_at = time.monotonic()
        return self._nodes


def _actor() -> Any:
    kind = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Mailbox)
    return kind.options(max_concurrency=1000).remote()


def _name(job: Job) -> str:
    """What Ray's dashboard shows of a task."""
    more = f" and {len(job.runs) - 1} more" if len(job.runs) > 1 else ""
    return f"seqbench {job.folder.name} {job.runs[0].run}{more}" if job.runs else "seqbench"


def _fits(needs: Needs, node: dict[str, float]) -> bool:
    return node.get("CPU", 0) >= needs.cpus and node.get("GPU", 0) >= needs.gpus


def _times(needs: Needs, node: dict[str, float]) -> int:
    """How many attempts a node can do at once."""
    shares = [node.get("CPU", 0) / needs.cpus, node.get("memory", 0) / (needs.memory * MEBIBYTE)]
    shares += [node.get("GPU", 0) / needs.gpus] if needs.gpus else []
    return int(min(shares))


def _to_come() -> list[dict[str, float]]:
    """What kinds of nodes an autoscaler can add; nothing where there is none, or through Ray's client, which can't ask.

    Ray has no public question for this; its own libraries ask in this way.
    """
    with contextlib.suppress(Exception):
        groups = ray._private.state.state.get_cluster_config().node_group_configs
        return [{**dict(group.resources), "count": group.max_count} for group in groups if group.max_count]
    return []


def _reason(error: failures.RayError) -> tuple[Cause, str]:
    """What ended a task, as a phrase that goes on from "the worker"."""
    if isinstance(error, failures.TaskCancelledError):
        return "cancelled", "was cancelled"
    if isinstance(error, failures.OutOfMemoryError):
        return "memory", "was killed because its node was out of memory"
    if isinstance(error, failures.NodeDiedError | failures.ObjectLostError | failures.LocalRayletDiedError):
        return "node", "was lost with its node"
    if isinstance(error, failures.WorkerCrashedError):
        return "worker", "was killed"
    return "task", f"failed: {' '.join(str(getattr(error, 'cause', None) or error).split())[:300]}"


TRIES = 3
"""How often a call is made again whose worker or node has failed."""


class Pool(Executor):
    """Calls of functions on the nodes of the connected cluster, for what is no run: tasks of `cpus` processors each."""

    def __init__(self, cpus: float = 1.0) -> None:
        self._cpus = cpus

    def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        """Starts a call on some node."""
        task = ray.remote(num_cpus=self._cpus, max_retries=TRIES)(_call)
        return task.remote(function, arguments, named).future()


def _call(function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return function(*arguments, **named)
