"""The command line: `seqbench VERB`. Every verb answers `--help` with an example.

May import every room but `speed`. Front door: `main`.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Annotated, Any

import typer

from ..errors import UsageError
from . import (
    attention,
    contracts,
    embedding,
    evidence,
    experiments,
    facts,
    fetching,
    interrupts,
    plotting,
    renewal,
    report,
    sample,
    speed,
    tables,
    tuning,
)
from .terminal import echo, encodable, nowhere

app = typer.Typer(
    name="seqbench",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
VERBS: dict[str, Callable[..., None]] = {
    "list": facts.list_,
    "describe": facts.describe,
    "check": contracts.check,
    "fetch": fetching.fetch,
    "export": facts.export,
    "new": tuning.new,
    "tune": tuning.tune,
    "run": experiments.run,
    "status": experiments.status,
    "publish": experiments.publish,
    "table": tables.table,
    "plot": plotting.plot,
    "unrolled": plotting.unrolled,
    "gradients": plotting.gradients,
    "report": report.report,
    "sample": sample.sample,
    "attention": attention.attention,
    "embedding": embedding.embedding,
    "verify": evidence.verify,
    "renew": renewal.renew,
    "rehash": renewal.rehash,
    "reproduce": evidence.reproduce,
    "merge": evidence.merge,
    "speed": speed.speed,
}
for name, verb in VERBS.items():
    app.command(name)(verb)


def _show_version(wanted: bool) -> None:
    if wanted:
        echo(f"seqbench {version('seqbench')}")
        raise typer.Exit


@app.callback()
def _every_verb(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compares sequence architectures of matched size, by evidence that anyone can check."""


CommandError: type[Any] = typer.BadParameter.__bases__[0]
"""Click's UsageError, wherever it lives: typer brings its own click or uses the one that is installed."""


def main() -> None:
    """The entry point: what a user did wrong is one line on standard error and exit code 2."""
    try:
        encodable(sys.stdout, sys.stderr)
        os.environ["MPLBACKEND"] = "agg"  # figures become files; a notebook's backend may not even be installed here
        gc.set_threshold(50_000, 20, 10)  # rows are no rubbish: to look through thousands again and again takes seconds
        atexit.register(gc.freeze)  # else the interpreter searches all of torch for rubbish once more as it ends: 0.3 s
        with interrupts.ending_imports():
            code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except CommandError as error:
        sys.exit(_complain(" ".join(str(error.format_message()).split()), 2))
    except UsageError as error:
        sys.exit(_complain(str(error), 2))
    except KeyboardInterrupt:
        sys.exit(interrupts.EXIT_CODE)
    except MemoryError as error:
        sys.exit(_complain(f"not enough memory: {error or 'something smaller is needed'}", 1))
    except BrokenPipeError:  # `| head` has read enough
        nowhere(sys.stdout)
        sys.exit(1)
    except OSError as error:
        sys.exit(_complain(f"{error.strerror or error}: {error.filename}" if error.filename else str(error), 1))


def _complain(message: str, code: int) -> int:
    with suppress(OSError):  # nobody reads it any more
        echo(f"seqbench: {message}", err=True)
    return code
