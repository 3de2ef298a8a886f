"""The types of a row: which keys it has, and what stands there. Whatever reads rows relies on it.

A row is one line of JSON. `typed` decodes and checks it in one pass; keys that are not named here are passed over, and
stay in the line. (A checksum proves that a line was not edited since it was signed, not that it was whole then.) Whole
numbers are within 64 bits, others within a double: JSON may have more, with which nothing can be computed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec

FINISHED = ("done", "diverged")
"""What is a result; `failed` and `died` are tried again by the next run."""
LATER = ("diff", "source_files", "cpu", "instructions")
"""Keys of a provenance that are asked for since rows were first published: rows of before are read all the same."""
SAID_ELSEWHERE = ("cpu", "source_files")
"""Which of them say nothing that an older row does not say in another way: the processor has a name, and commits have
the hashes of files."""

Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Number = Whole | float
"""A whole number stays one: tables write it without a point."""
Score = Number | None
"""Of a metric; null where it was not finite."""
Scores = dict[str, Score]
Id = Annotated[str, msgspec.Meta(max_length=80)]
Device = Literal["cpu", "cuda"]
Status = Literal["done", "diverged", "failed", "died"]


class Contract(TypedDict):
    """A task or a model, its options, and the version of its contract."""

    name: str
    version: Whole
    options: NotRequired[dict[str, Any]]


class Config(TypedDict):
    """The configuration of a run; rows of before have neither embedding nor precision."""

    task: Contract
    model: Contract
    loop: Whole
    seed: Whole
    head: NotRequired[Any]
    embedding: NotRequired[Any]
    training: NotRequired[Any]
    precision: NotRequired[Any]


class RepositoryState(TypedDict):
    """A repository of the user's own: its commit, and what differed from it."""

    commit: str
    dirty: bool
    diff: str | None


class Versions(TypedDict):
    """Of Python and the packages that compute."""

    python: str
    torch: str
    numpy: str
    numba: str
    scipy: str
    seqbench: NotRequired[str | None]
    cuda: NotRequired[str | None]
    cudnn: NotRequired[str | None]


class Provenance(TypedDict):
    """Where a row comes from; `provenance` describes the keys."""

    commit: str | None
    dirty: bool
    source: str
    versions: Versions
    platform: str
    processor: str
    device: str
    driver: str | None
    threads: Whole
    data: dict[str, str | None]
    started: str
    finished: str
    diff: NotRequired[str | None]
    instructions: NotRequired[str | None]
    source_files: NotRequired[dict[str, str]]
    cpu: NotRequired[str]
    command: NotRequired[str | list[str]]
    differing: NotRequired[list[str]]
    unhashed: NotRequired[list[str]]
    read: NotRequired[dict[str, str]]
    repositories: NotRequired[dict[str, RepositoryState]]
    experiment: NotRequired[str]
    beside: NotRequired[Whole]
    uncaptured: NotRequired[str]
    cluster: NotRequired[dict[str, Any]]


class Point(TypedDict):
    """Of a curve. At epoch 0 no step has been taken, so that there is neither learning rate nor training loss.

    Rows made before curves had an epoch 0 begin with epoch 1.
    """

    epoch: Whole
    steps: Whole
    seconds: Number
    valid: Scores
    test: Scores
    learning_rate: NotRequired[Score]
    train_loss: NotRequired[Score]
    lengths: NotRequired[dict[str, Scores]]


class Best(TypedDict):
    """The scores of the epoch that validation chose."""

    epoch: Whole
    valid: Scores
    test: Scores


class Last(TypedDict):
    """The mean of the test scores of the last epochs."""

    test: Scores
    epochs: NotRequired[list[Whole]]


class Rules(TypedDict):
    """The scores by each rule of choosing an epoch."""

    best: Best
    last: Last


class Yardstick(TypedDict):
    """What a method without training scores on the same data."""

    name: str
    scores: Scores


class Seconds(TypedDict):
    """Wall time of training and evaluation, and time of the processor."""

    training: Number
    evaluation: Number
    cpu: Number


class Message(TypedDict):
    """The error that ended a run."""

    message: str
    traceback: NotRequired[Any]


Size = Whole | str | None
"""A number of values or steps; "unknown" where the model does not say."""


class _Any(TypedDict):
    id: Id
    status: Status
    device: Device
    label: str
    config: Config
    provenance: Provenance
    state_size: NotRequired[Size]
    receptive_field: NotRequired[Size]
    causal: NotRequired[bool]
    resumed: NotRequired[Whole]
    sum: NotRequired[str | None]


class _Result(_Any):
    error: NotRequired[None]
    parameters: Whole
    curve: list[Point]
    seconds: Seconds
    peak_memory_mb: Number
    lengths: NotRequired[dict[str, Scores]]
    trace: NotRequired[list[Annotated[list[Score], msgspec.Meta(min_length=2, max_length=2)]]]
    yardsticks: NotRequired[list[Yardstick]]


class Scored(_Result):
    """A result with scores."""

    scores: Rules


class Unscored(_Result):
    """A run that diverged in its first epoch."""

    scores: NotRequired[Annotated[dict[str, None], msgspec.Meta(max_length=0)] | None]


class Failure(_Any):
    """A run that failed or died."""

    error: Message
    parameters: NotRequired[Whole | None]
    peak_memory_mb: NotRequired[Score]


class _Head(msgspec.Struct):
    """What decides on the type of a row. status: of the words of `Status`."""

    id: Id
    status: Status
    scores: dict[str, msgspec.Raw] | None = None


_HEAD = msgspec.json.Decoder(_Head)
_SCORED, _UNSCORED, _FAILURE = (msgspec.json.Decoder[Any](kind) for kind in (Scored, Unscored, Failure))


class Malformed(ValueError):
    """Why a line is no JSON, in words."""


class Misshapen(ValueError):
    """What of a line is not as a row is, in words that name the key."""


def typed(line: bytes) -> dict[str, Any]:
    """The row of a line. Raises Malformed where it is no JSON, else Misshapen where it is no row.

    >>> typed(b'{"id": "7d9f5bf61bde", "status": "gone"}')
    Traceback (most recent call last):
    seqbench.bench.rows.row_shape.Misshapen: status: invalid enum value 'gone'
    """
    head = None
    try:
        head = _HEAD.decode(line)
        if head.status not in FINISHED:
            decoder = _FAILURE
        else:
            decoder = _SCORED if head.status == "done" or head.scores else _UNSCORED
        row: dict[str, Any] = decoder.decode(line)
        return row
    except msgspec.ValidationError as error:
        raise Misshapen(f"row {head.id}: {in_words(error)}" if head else in_words(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(shortened(str(error))) from error


def in_words(error: msgspec.ValidationError) -> str:
    """What msgspec says of a value, with the path of its key before it."""
    what, _, path = str(error).rpartition(" - at `$")
    what, path = (what, path.removesuffix("`").lstrip(".")) if what else (path, "")
    what = shortened(what[:1].lower() + what[1:])
    return f"{path}: {what}" if path else what


def shortened(text: str) -> str:
    """A text in one line, of a length to be read."""
    line = " ".join(text[:500].split())
    return line if len(line) <= 160 else f"{line[:159]}…"


def lacking(row: dict[str, Any]) -> list[str]:
    """Which keys of `LATER` a row's provenance does not have, or has null; of a clean row `diff` is null."""
    origin = row["provenance"]
    null = [key for key in LATER if origin.get(key) is None]
    return [key for key in null if not (key == "diff" and key in origin and not origin["dirty"])]
