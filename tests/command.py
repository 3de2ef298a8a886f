"""The command line in this process: as quick as a call, with all that `main` does about errors and exit codes."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from typing import Any
from unittest import mock

from seqbench.bench import cli


@dataclass(frozen=True)
class Answer:
    """What a call of `seqbench` gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The standard output as JSON."""
        return json.loads(self.out)


def seqbench(*arguments: object) -> Answer:
    """Calls `seqbench ARGUMENTS`."""
    out, err = io.StringIO(), io.StringIO()
    argv = mock.patch.object(sys, "argv", ["seqbench", *map(str, arguments)])
    code: Any = None
    with argv, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    return Answer(code, out.getvalue(), err.getvalue())
