"""The command line: `seqbench VERB`. Every verb answers `--help` with an example.

May import every room but `speed`. Front door: `main`.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Callable
from typing import Any

import typer

from ..errors import UsageError
from . import evidence, experiments, facts, fetching, plotting, renewal, report, sample, speed

app = typer.Typer(
    name="seqbench",
    help="Compares sequence architectures of matched size, by evidence that anyone can check.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
VERBS: dict[str, Callable[..., None]] = {
    "list": facts.list_,
    "describe": facts.describe,
    "fetch": fetching.fetch,
    "export": facts.export,
    "run": experiments.run,
    "status": experiments.status,
    "publish": experiments.publish,
    "table": experiments.table,
    "plot": plotting.plot,
    "gradients": plotting.gradients,
    "report": report.report,
    "sample": sample.sample,
    "verify": evidence.verify,
    "renew": renewal.renew,
    "rehash": renewal.rehash,
    "reproduce": evidence.reproduce,
    "merge": evidence.merge,
    "speed": speed.speed,
}
for name, verb in VERBS.items():
    app.command(name)(verb)


CommandError: type[Any] = typer.BadParameter.__bases__[0]
"""Click's UsageError, wherever it lives: typer brings its own click or uses the one that is installed."""


def main() -> None:
    """The entry point: what a user did wrong is one line on standard error and exit code 2."""
    atexit.register(gc.freeze)  # else the interpreter searches all of torch for rubbish once more as it ends: 0.3 s
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except CommandError as error:
        sys.exit(_complain(" ".join(str(error.format_message()).split()), 2))
    except UsageError as error:
        sys.exit(_complain(str(error), 2))
    except OSError as error:
        sys.exit(_complain(f"{error.strerror or error}: {error.filename}" if error.filename else str(error), 1))


def _complain(message: str, code: int) -> int:
    print(f"seqbench: {message}", file=sys.stderr)
    return code
