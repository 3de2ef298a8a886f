"""From the files of texts to ids, through archives of the true formats; and files that are wrong, each in its way."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import miniature
import miniature_texts
import pytest
from miniature_texts import tarred, zipped
from seqbench.tasks import _language, lambada, ptb_char, ptb_word, text8, wikitext_103
from seqbench.tasks.datasets import DataError, cache_folder

WIKITEXT, TEXT8 = "wikitext-103/wikitext-103-v1.zip", "text8/text8.zip"
LAMBADA, LISTED = "lambada/lambada-dataset.tar.gz", "lambada/lambada_vocabulary_sorted.txt"

Contents = Mapping[str, bytes]


def shown(task: _language.Language, name: str) -> list[str]:
    """The symbols of a text, with the one before it."""
    symbols = task.symbols()
    return [symbols[number] for number in task.text(name).tolist()]


def ends(lines: list[str]) -> list[str]:
    """The words of lines, each with its end, after the end that stands before the text."""
    return ["<eos>", *(word for line in lines for word in (*line.split(), "<eos>"))]


def wikitext(**texts: bytes) -> Contents:
    """The archive of these three files."""
    return {WIKITEXT: zipped({f"wikitext-103/wiki.{name}.tokens": content for name, content in texts.items()})}


def test_wikitext_from_its_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, valid = " \n = Þórr = \n \n Þórr is a <unk> . \n", " \n = a = \n"
    files = wikitext(train=train.encode(), valid=valid.encode() * 9, test=b" . \n" * 9)
    miniature.offer(tmp_path, monkeypatch, wikitext_103.Task, files, vocabulary=7)
    task = wikitext_103.Task(context=2, scored=2)
    assert task.symbols() == ["<eos>", "=", "Þórr", ".", "<unk>", "a", "is"]
    assert shown(task, "train") == ends(["", "= Þórr =", "", "Þórr is a <unk> ."])  # blank lines have an end as well
    assert shown(task, "valid") == ends(["", "= a ="] * 9)
    assert shown(task, "test") == ends(["."] * 9)
    assert len(task.load(0).test) == 16


def test_text8_from_its_archive(miniature_data: Path) -> None:
    task = text8.Task(context=4, scored=4)
    text = miniature_texts.text8().decode()
    assert len(text) == 10_000
    assert [len(task.text(name)) - 1 for name in ("train", "valid", "test")] == [9000, 500, 500]
    assert "".join("".join(shown(task, name)[1:]) for name in ("train", "valid", "test")) == text
    assert {shown(task, name)[0] for name in ("train", "valid", "test")} == {" "}


def test_lambada_from_its_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    novels = {
        "train-novels/Romance/a.txt": "The ZEBRA\n\n \nof Þórr\n".encode(),
        "train-novels/Adventure/._z.txt": b"\xff which some systems add",
        "train-novels/Adventure/z.txt": b"the fox",
        "train-novels/readme.txt": b"not a novel",
    }
    parts = {
        "train-novels.tar": tarred(novels),
        "lambada_development_plain_text.txt": b"the fox of\n",
        "lambada_test_plain_text.txt": b"The fox\nof the zebra\n",
        "lambada_control_test_data_plain_text.txt": b"the 's don't of\n",
        "rejected_plain_text.txt": b"of the the\n",
    }
    files = {LAMBADA: gzip.compress(tarred(parts)), LISTED: "fox\nof\nthe\nþórr\nis\n".encode()}
    miniature.offer(tmp_path, monkeypatch, lambada.Task, files, vocabulary=7)
    task = lambada.Task(context=2, scored=2)
    assert shown(task, "train") == ends(["the fox", "the <unk>", "of þórr"])  # Adventure before Romance
    assert task.symbols() == ["<eos>", "the", "<unk>", "fox", "of", "þórr", "is"]
    assert shown(task, "test") == ends(["the fox", "of the <unk>"])
    assert shown(task, "control") == ends(["the is <unk> of"])  # 's is spelled out, and only as a word of its own
    splits = task.load(0)
    assert [len(split) for split in splits] == [3, 1, 3]
    assert task.decode(task.encode("The fox 'S\nof Oz")) == "the fox is \nof <unk> "


TEXT = miniature_texts.text8()
PASSAGES = {
    f"lambada_{name}_plain_text.txt": b"the fox jumped\n" for name in ("development", "test", "control_test_data")
}


def archive(novel: str, content: bytes, passages: Contents = PASSAGES) -> Contents:
    """LAMBADA's archive with one novel."""
    return {LAMBADA: gzip.compress(tarred({"train-novels.tar": tarred({novel: content}), **passages}))}


WRONG: dict[str, tuple[type[_language.Language], Contents, str]] = {
    "words, wrong encoding": (
        ptb_word.Task,
        {"ptb/ptb.valid.txt": "the café \n".encode("latin-1")},
        r"^ptb/ptb\.valid\.txt is not UTF-8 text: byte 0xe9 at offset 7; ",
    ),
    "words, empty": (ptb_word.Task, {"ptb/ptb.test.txt": b""}, r"^ptb/ptb\.test\.txt is empty: "),
    "words, other vocabulary": (
        ptb_word.Task,
        {"ptb/ptb.train.txt": b"the fox \n"},
        r"^ptb/ptb\.train\.txt: vocabulary mismatch: 3 words \(with <eos>\), where 53 are expected; ",
    ),
    "words, unknown word": (
        ptb_word.Task,
        {"ptb/ptb.valid.txt": b"the fox \n over xyzzy \n"},
        r"^ptb/ptb\.valid\.txt: vocabulary mismatch: the word 'xyzzy' in line 2 is not in the training text",
    ),
    "characters, unknown character": (
        ptb_char.Task,
        {"ptb/ptb.test.txt": b" the fox \n over xyZ \n"},
        r"^ptb/ptb\.test\.txt: vocabulary mismatch: the character 'Z' in line 2 ",
    ),
    "wikitext, a file missing": (
        wikitext_103.Task,
        {WIKITEXT: zipped({"wikitext-103/wiki.valid.tokens": b"a\n"})},
        r"wikitext-103-v1\.zip holds no wikitext-103/wiki\.train\.tokens",
    ),
    "wikitext, escaping": (
        wikitext_103.Task,
        {WIKITEXT: zipped({"../../wiki.train.tokens": b"a\n"})},
        r"wikitext-103-v1\.zip is refused: its member '\.\./\.\./wiki\.train\.tokens' leads out of the folder",
    ),
    "wikitext, cut off": (wikitext_103.Task, {WIKITEXT: miniature_texts.wikitext()[:-60]}, r"v1\.zip is damaged"),
    "wikitext, wrong encoding": (
        wikitext_103.Task,
        wikitext(train=b"a \xff\n", valid=b"a\n", test=b"a\n"),
        r"^wikitext-103/wikitext-103-v1\.zip:wikitext-103/wiki\.train\.tokens is not UTF-8 text: byte 0xff at off",
    ),
    "text8, a file missing": (text8.Task, {TEXT8: zipped({"text9": TEXT})}, r"text8\.zip holds no text8"),
    "text8, too short": (
        text8.Task,
        {TEXT8: zipped({"text8": TEXT[:-1]})},
        r"^text8/text8\.zip: text8 has 9,999 characters, where 10,000 are expected; ",
    ),
    "text8, other alphabet": (
        text8.Task,
        {TEXT8: zipped({"text8": TEXT.replace(b"x", b"k")})},
        r"^text8/text8\.zip:text8: vocabulary mismatch: 26 characters, where 27 are expected",
    ),
    "lambada, a file missing": (
        lambada.Task,
        archive("train-novels/a/b.txt", b"the", {"lambada_development_plain_text.txt": b"the fox\n"}),
        r"lambada-dataset\.tar\.gz holds no lambada_test_plain_text\.txt",
    ),
    "lambada, no tar of novels": (
        lambada.Task,
        {LAMBADA: gzip.compress(tarred(PASSAGES))},
        r"lambada-dataset\.tar\.gz holds no train-novels\.tar",
    ),
    "lambada, no novels": (
        lambada.Task,
        archive("train-novels/x.txt", b"the"),
        r"^lambada/lambada-dataset\.tar\.gz: train-novels\.tar holds no train-novels/<genre>/<novel>\.txt",
    ),
    "lambada, escaping": (
        lambada.Task,
        archive("train-novels/a/../../../x.txt", b"the"),
        r"lambada-dataset\.tar\.gz is refused: its member 'train-novels/a/\.\./\.\./\.\./x\.txt' leads out",
    ),
    "lambada, wrong encoding": (
        lambada.Task,
        archive("train-novels/a/b.txt", b"\x80"),
        r"^lambada/lambada-dataset\.tar\.gz:train-novels/a/b\.txt is not UTF-8 text: byte 0x80 at offset 0",
    ),
    "lambada, empty": (
        lambada.Task,
        archive("train-novels/a/b.txt", b"the", PASSAGES | {"lambada_development_plain_text.txt": b" \n"}),
        r"^lambada/lambada-dataset\.tar\.gz:lambada_development_plain_text\.txt is empty",
    ),
    "lambada, other vocabulary": (
        lambada.Task,
        {LISTED: b"the\nfox\n"},
        r"^lambada/lambada_vocabulary_sorted\.txt: vocabulary mismatch: 2 words, where 51 are expected",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_files_are_refused_and_nothing_is_left(
    what: str, tmp_path: Path, miniature_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, files, message = WRONG[what]
    right = miniature_texts.files()
    miniature.offer(tmp_path, monkeypatch, make, right | dict(files))
    for _ in range(2):  # what is half done is not taken for whole
        with pytest.raises(DataError, match=message):
            make().load(0)
        assert not [path for path in (cache_folder() / "encoded").iterdir() if path.suffix != ".lock"]
    miniature.offer(tmp_path / "right", monkeypatch, make, right)
    assert len(make().load(0).test) > 0


@pytest.mark.parametrize("name", ["train", "valid", "test"])
def test_a_text_shorter_than_a_window_names_its_file(
    name: str, tmp_path: Path, miniature_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = wikitext(**{part: b"a a\n" * (1 if part == name else 9) for part in ("train", "valid", "test")})
    miniature.offer(tmp_path, monkeypatch, wikitext_103.Task, files, vocabulary=2)
    message = (
        rf"^wikitext-103/wikitext-103-v1\.zip:wikitext-103/wiki\.{name}\.tokens: 3 tokens are a text shorter than "
    )
    with pytest.raises(DataError, match=message):
        wikitext_103.Task(context=4, scored=4).load(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ptb_word.Task(context=-1), "ptb-word: context must be 0 or more, got -1"),
        (lambda: ptb_char.Task(scored=0), "ptb-char: scored must be 1 or more, got 0"),
        (lambda: text8.Task(train=0), "text8: train must be 1 or more, got 0"),
        (lambda: wikitext_103.Task(held=0), "wikitext-103: held must be 1 or more, got 0"),
        (lambda: ptb_char.Task(eos="two"), "ptb-char: eos must be 'one' or 'spelled', got 'two'"),  # type: ignore[arg-type]
        (lambda: lambada.Task().at_length(9), "lambada: the length is given by the data"),
    ],
)
def test_bad_options_are_refused_in_words(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()
