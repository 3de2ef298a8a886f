"""Passages whose last word is asked for, each an example of its own; and the novels and spelling of LAMBADA."""

from __future__ import annotations

import io
import re
from contextlib import closing

import torch
from torch import Tensor

from . import _archives, _text, base
from .datasets import DataError, Remote, fetch

_NOVELS = "train-novels"
_SPELLED_OUT = {b"n't": b"not", b"'s": b"is", b"'re": b"are", b"'ve": b"have", b"wo": b"will"}
"""What the published code (Bai et al. 2018) makes of words that the list of 2016 lacks."""
_CONTRACTION = re.compile(rb"(?<!\S)(?:n't|'s|'re|'ve|wo)(?!\S)", re.IGNORECASE)


def spelled_out(text: bytes) -> bytes:
    """A text of words between white space, contractions spelled out.

    >>> spelled_out(b"He wo n't go , it 's late")
    b'He will not go , it is late'
    """
    return _CONTRACTION.sub(lambda found: _SPELLED_OUT[found[0].lower()], text)


def in_full(source: _text.Source) -> _text.Source:
    """The same text with contractions spelled out; one part of it is in memory at a time."""

    def parts() -> _text.Parts:
        with closing(source.parts()) as short:
            for name, stream in short:
                yield name, io.BytesIO(spelled_out(stream.read()))

    return _text.Source(source.name, parts)


def novels(archive: Remote) -> _text.Source:
    """The training text: every novel of the archive, which has them in a tar of its own, in one pass."""
    name = f"{archive.filename}:{_NOVELS}"

    def is_novel(path: str) -> bool:
        folder, _, file = path.rpartition("/")
        return folder.startswith(f"{_NOVELS}/") and file.endswith(".txt") and not file.startswith(".")

    def parts() -> _text.Parts:
        none = True
        for path, content in _archives.members(fetch(archive), is_novel, inside=f"{_NOVELS}.tar"):
            none = False
            yield f"{archive.filename}:{path}", io.BytesIO(content)
        if none:
            raise DataError(f"{archive.filename}: {_NOVELS}.tar holds no {_NOVELS}/<genre>/<novel>.txt; get it again")

    return _text.Source(name, parts)


class Passages(base.Split):
    """N passages of differing length in one text: `<eos>`, the words of one, `<eos>`, the words of the next.

    ids: all of it, integer. begins: (N,) int64, where the `<eos>` before each passage is, on the device of `ids`.
    lengths: (N,) int64 on the CPU, the words of each; that many steps it takes to show `<eos>` and all but the last.
    group: (N,) int8 on the device of `ids`. unknown: the id of `<unk>`.
    """

    def __init__(self, ids: Tensor, begins: Tensor, words: Tensor, group: Tensor, unknown: int) -> None:
        self.ids = ids
        self.begins = begins
        self.words = words
        self.steps_of = words.to(ids.device)
        self.group = group
        self.unknown = unknown

    def __len__(self) -> int:
        return len(self.words)

    @property
    def lengths(self) -> Tensor:
        """Steps of each passage, as many as it has words: (N,) int64 on the CPU."""
        return self.words

    def to(self, device: torch.device) -> Passages:
        ids, begins, group = (part.to(device) for part in (self.ids, self.begins, self.group))
        return Passages(ids, begins, self.words, group, self.unknown)

    def with_control(self, control: Passages) -> Passages:
        """These passages, and others after them as group 1."""
        return Passages(
            torch.cat((self.ids, control.ids)),
            torch.cat((self.begins, len(self.ids) + control.begins)),
            torch.cat((self.words, control.words)),
            torch.cat((self.group, torch.ones_like(control.group))),
            self.unknown,
        )

    def last_pairs(self) -> tuple[_text.Ids, _text.Ids]:
        """The word before the target, and the target, of every passage whose target the vocabulary has; on the CPU."""
        last = self.begins + self.words.to(self.begins.device)
        known = self.ids[last] != self.unknown
        return self.ids[last - 1][known].cpu().numpy(), self.ids[last][known].cpu().numpy()

    def batch(self, index: Tensor) -> base.Batch:
        """`<eos>` and all words but the last as inputs (B, T), filled up with `<eos>` on the right; see `lambada`.

        An `index` on the CPU costs no synchronisation with a GPU.
        """
        return self.laid_out(index.to(self.ids.device), self.extent(index))

    def laid_out(self, index: Tensor, extent: int | None) -> base.Batch:
        assert extent is not None  # the passages differ
        step = torch.arange(extent, device=self.ids.device)  # (T,)
        words = self.steps_of[index].unsqueeze(1)  # (B, 1)
        begins = self.begins[index].unsqueeze(1)  # (B, 1)
        inputs = self.ids[torch.where(step < words, begins + step, 0)].long()  # (B, T)
        targets = self.ids[begins + words].long()  # (B, 1)
        return base.Batch(inputs, targets, targets != self.unknown, words - 1, self.group[index].unsqueeze(1))


def read(ids: Tensor, unknown: int, most: int | None = None) -> Passages:
    """The lines of an encoded text, which begins and ends with `<eos>`, as passages of group 0; the first `most`."""
    ends = (ids == ids[0]).nonzero().flatten()[: None if most is None else most + 1]  # (N + 1,)
    ids = ids[: int(ends[-1]) + 1]
    return Passages(ids, ends[:-1], ends.diff() - 1, torch.zeros(len(ends) - 1, dtype=torch.int8), unknown)
