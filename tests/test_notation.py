"""The notation `name(key=value, …)`, and values checked against the options of a constructor."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from seqbench.bench.errors import UsageError, nearest
from seqbench.bench.experiments.notation import Spec, parse, written
from seqbench.bench.experiments.options import checked, coerce, options_of
from seqbench.bench.experiments.settings import canonical_schedule, make_schedule

VALUES = [
    *(0, 7, -1, 10**12, 0.0, 0.5, -0.25, 1e-3, 1e-9, 1.5e300, True, False, None),
    *("one-hot", "rs92916", "a.b", "channel", "", "two words", "it's", 'say "no"', "a,b", "f(x)", "a=b", "[1]", "#"),
    *("true", "True", "NONE", "null", "1", "1e-3", "-1", "class", "not", "x-", "-x", "a-1", "a--b", "é", "x²", "\n"),
    *([], [1], [450, 450, 100], [0.1, None, True, "one-hot", "a b"], [[1, 2], [3]], ["none", "if"]),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_survives_writing_and_reading(value: Any) -> None:
    (read,) = parse(f"name(key={written(value)})").options.values()
    assert read == value
    assert type(read) is type(value)


def test_a_spec_survives_writing_and_reading() -> None:
    draw = random.Random(0)
    for _ in range(300):
        options = {f"k{place}": draw.choice(VALUES) for place in range(draw.randrange(5))}
        spec = Spec(draw.choice(["tcn", "copy-memory", "my_model.py", "package.module:Class", "a/b c/my.py"]), options)
        assert parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("tcn", Spec("tcn")),
        ("  tcn ( ) ", Spec("tcn")),
        ("tcn(kernel=8,levels = 4,)", Spec("tcn", {"kernel": 8, "levels": 4})),
        ("m.py:Net(a=(1, 2))", Spec("m.py:Net", {"a": [1, 2]})),
        ("a(b=TRUE, c=None, d=Null)", Spec("a", {"b": True, "c": None, "d": None})),
        ("a(b=-2, c=+.5)", Spec("a", {"b": -2, "c": 0.5})),
        ("a(b='none', c=\"true\")", Spec("a", {"b": "none", "c": "true"})),
    ],
)
def test_what_a_text_means(text: str, spec: Spec) -> None:
    assert parse(text) == spec


def test_tuples_are_written_as_lists() -> None:
    assert str(Spec("tcn", {"widths": (4, 5), "dropout": 0.1})) == "tcn(widths=[4,5], dropout=0.1)"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "()",
            "name(",
            "name)",
            "name(a=1",
            "name(5)",
            "name(a)",
            "name(a=1, 5)",
            "name(**a)",
            "name(*a)",
            "na(me)x",
        ),
        *(
            "na(me)x",
            "name(a=1)(b=2)",
            "name(a=1).name(b=2)",
            "name(a=1) + f(b=2)",
            "name(a=1, a=2)",
            "name(a 1)",
            "name(a=)",
        ),
        *("name(a=__import__('os'))", "name(a=[].append(1))", "name(a=f'{1}')", "name(a=lambda: 1)", "name(a=b'x')"),
        *("name(a={})", "name(a={[1]: 2})", "name(a=1+1)", "name(a=b if c else d)", "name(a=2j)", "name(a=...)"),
        *("name(a=one hot)", "name(a=class)", "name(a=\0)", f"name(a={'-' * 5000}1)", f"name(a={'[' * 5000})"),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)
    assert "\n" not in str(raised.value)
    assert repr(text.strip())[:30] in str(raised.value)


def test_nothing_is_run() -> None:
    with pytest.raises(UsageError, match="put other text in quotes"):
        parse("adding(length=__import__('os').abort())")


def test_nearest() -> None:
    assert nearest("ading", ["jsb", "adding"]) == "did you mean 'adding'?"
    assert nearest("zzz", ["jsb", "adding"]) == "known: adding, jsb"
    assert nearest("zzz", []) == "there are none"


@dataclass(frozen=True)
class Thing:
    """Options of every kind."""

    whole: int = 1
    number: float = 0.5
    flag: bool = False
    word: Literal["one-hot", "scalar"] = "scalar"
    perhaps: float | None = None
    sizes: tuple[int, ...] = ()
    places: list[float] | None = None
    anything: Any = None
    text: str = "a"


class Constructed:
    """Options are the arguments that must be named."""

    def __init__(self, channels: int, *, width: int, depth: int = 2) -> None:
        self.facts = channels, width, depth


def test_options_of() -> None:
    assert list(options_of(Thing)) == list(Thing.__dataclass_fields__)
    known = options_of(Constructed)
    assert {name: (option.required, option.default) for name, option in known.items()} == {
        "width": (True, None),
        "depth": (False, 2),
    }
    assert {name for name, option in options_of(Thing).items() if option.takes_list} == {"sizes", "places"}


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("whole", 3, 3),
        ("number", 2, 2.0),
        ("number", 0.25, 0.25),
        ("flag", True, True),
        ("word", "one-hot", "one-hot"),
        ("perhaps", None, None),
        ("perhaps", 1, 1.0),
        ("sizes", [450, 100], (450, 100)),
        ("sizes", (), ()),
        ("places", [1, 2.5], [1.0, 2.5]),
        ("anything", {"a": 1}, {"a": 1}),
        ("text", "b", "b"),
    ],
)
def test_a_value_as_its_option_has_it(name: str, given: Any, expected: Any) -> None:
    found = coerce("thing", options_of(Thing)[name], given)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "given", "hint"),
    [
        ("whole", True, "a whole number is needed"),
        ("whole", 1.0, "a whole number is needed"),
        ("whole", "3", "a whole number is needed"),
        ("whole", [3], "a whole number is needed"),
        ("number", False, "a number is needed"),
        ("number", "1e-3", "a number is needed"),
        ("number", 10**400, "a number is needed, of at most 9e\\+18"),
        ("whole", -(10**400), "a whole number is needed, of at most"),
        ("number", float("nan"), "a number is needed"),
        ("number", float("inf"), "a number is needed"),
        ("perhaps", "much", "a number or none is needed"),
        ("flag", 1, "true or false is needed"),
        ("word", "onehot", "did you mean 'one-hot'"),
        ("word", 5, "known: one-hot, scalar"),
        ("sizes", 5, "a list is needed"),
        ("sizes", ["a"], "a list is needed"),
        ("sizes", [True], "a list is needed"),
        ("text", 5, "a word is needed"),
    ],
)
def test_a_value_that_is_refused(name: str, given: Any, hint: str) -> None:
    with pytest.raises(UsageError, match=rf"^thing: {name}=.*{hint}"):
        coerce("thing", options_of(Thing)[name], given)


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    known = options_of(Thing)
    assert checked("thing", known, {"whole": 2, "sizes": [1]}) == {"whole": 2, "sizes": (1,)}
    with pytest.raises(UsageError, match="thing has no option 'hole': did you mean 'whole'"):
        checked("thing", known, {"hole": 2})


@pytest.mark.parametrize(
    "text",
    ["stepp", "step(evry=2)", "step(every=0)", "step(every=1.5)", "plateau(window=0)", "plateau(after=-1)", "step("],
)
def test_schedules_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        make_schedule(text)


def test_two_spellings_of_a_schedule_are_one() -> None:
    spellings = ("step", "step()", "step(every=10)", "step(by=0.1,every=10)")
    assert {canonical_schedule(text) for text in spellings} == {"step"}
    assert canonical_schedule("plateau(after=5,by=0.5, ties=true)") == "plateau(by=0.5, after=5, ties=true)"
