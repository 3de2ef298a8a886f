"""Widths for a budget of parameters: the nearest by brute force, the published sizes, and what is refused."""

from __future__ import annotations

import functools
import random
from typing import Any

import pytest
import torch
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import networks, registry, sizing
from seqbench.bench.experiments.describing import facts_of
from seqbench.bench.experiments.notation import Spec, parse
from seqbench.bench.experiments.runs import make_task
from seqbench.tasks import ptb_word
from seqbench.tasks.base import Task


class Novels(ptb_word.Task):
    """A text with the vocabulary that the published LAMBADA code has."""

    vocabulary = 93_216


def task_of(text: str) -> Task:
    return make_task(parse(text))


def resolved(text: str) -> tuple[type[Any], dict[str, Any]]:
    return registry.resolve("model", parse(text))


def count(task: Task, text: str, width: int) -> int:
    cls, options = resolved(text)
    return networks.on_paper(task, cls, {**options, "width": width}).parameter_count


SMALL_MODELS = ("rnn", "lstm(layers=2)", "gru", "tcn(kernel=2, levels=2)")


@pytest.mark.parametrize("model", SMALL_MODELS)
def test_the_nearest_width_is_that_of_a_search_over_all(model: str) -> None:
    task = task_of("copy-memory(delay=10)")
    counts = {width: count(task, model, width) for width in range(1, 41)}
    assert list(counts.values()) == sorted(set(counts.values())), "counts grow with the width"
    draw = random.Random(model)
    budgets = [draw.randrange(counts[1] // 2, counts[40]) for _ in range(15)]
    for budget in [*budgets, counts[1], counts[2], counts[17]]:
        best = min(counts, key=lambda width: (abs(counts[width] - budget), width))
        assert sizing.fit(task, *resolved(model), budget, tolerance=10) == sizing.Size(best, counts[best])


def test_of_two_equally_near_the_smaller() -> None:
    task = task_of("adding(length=20)")
    pairs = [(count(task, "rnn", width), count(task, "rnn", width + 1)) for width in range(1, 30)]
    widths = [width for width, (low, high) in enumerate(pairs, 1) if (low + high) % 2 == 0]
    assert widths
    for width in widths:
        low, high = pairs[width - 1]
        assert sizing.fit(task, *resolved("rnn"), (low + high) // 2, tolerance=1).width == width
        assert sizing.fit(task, *resolved("rnn"), (low + high) // 2 + 1, tolerance=1).width == width + 1


MNIST, ADDING, COPY, ONE_HOT, JSB, NOTTINGHAM = (
    ("sequential-mnist", 66_910),
    ("adding(length=600)", 70_369),
    ("copy-memory(delay=1000)", 12_530),
    ("copy-memory(delay=1000, coding=one-hot)", 13_230),
    ("jsb", 269_938),
    ("nottingham", 1_053_238),
)
# Task and budget, model, layers, width, parameters: protocol.md §2.2, counted there against PyTorch's own cells.
PUBLISHED = [
    (MNIST, "lstm", (127, 67_320), (73, 66_148)),
    (MNIST, "gru", (146, 66_732), (85, 67_160)),
    (MNIST, "rnn", (252, 66_790), (147, 67_042)),
    (("permuted-mnist", 66_910), "lstm", (127, 67_320), (73, 66_148)),
    (ADDING, "lstm", (131, 70_872), (76, 71_213)),
    (ADDING, "gru", (151, 70_367), (87, 69_775)),
    (ADDING, "rnn", (263, 70_485), (152, 70_377)),
    (COPY, "lstm", (53, 12_412), (31, 12_472)),
    (COPY, "gru", (62, 12_720), (36, 12_574)),
    (COPY, "rnn", (106, 12_624), (62, 12_472)),
    (ONE_HOT, "lstm", (51, 13_372), (31, 13_588)),
    (ONE_HOT, "gru", (59, 13_167), (36, 13_546)),
    (ONE_HOT, "rnn", (105, 13_345), (63, 13_429)),
    (JSB, "lstm", (210, 270_568), (132, 269_368)),
    (JSB, "gru", (246, 269_704), (154, 269_588)),
    (JSB, "rnn", (438, 269_896), (271, 269_191)),
    (NOTTINGHAM, "lstm", (460, 1_052_568), (278, 1_054_264)),
    (NOTTINGHAM, "gru", (536, 1_053_864), (322, 1_050_452)),
    (NOTTINGHAM, "rnn", (941, 1_053_067), (563, 1_052_335)),
]


@pytest.mark.parametrize(("row", "model", "one", "two"), PUBLISHED)
def test_the_sizes_of_the_protocol(
    row: tuple[str, int], model: str, one: tuple[int, int], two: tuple[int, int]
) -> None:
    name, budget = row
    for layers, expected in ((1, one), (2, two)):
        task, (cls, options) = task_of(name), resolved(f"{model}(layers={layers})")
        assert sizing.fit(task, cls, options, budget, tolerance=0.03) == sizing.Size(*expected)
        if abs(expected[1] / budget - 1) > 0.01:
            with pytest.raises(UsageError, match=rf"^no width comes within 1.0% of {budget:,} parameters: "):
                sizing.fit(task, cls, options, budget)
        else:
            assert sizing.fit(task, cls, options, budget).width == expected[0]


@pytest.mark.parametrize(
    ("task", "model", "parameters"),
    [
        ("adding(length=200)", "tcn(kernel=6, levels=7, width=27)", 58_051),
        ("adding(length=400)", "tcn(kernel=7, levels=7, width=27)", 67_582),
        ("adding(length=600)", "tcn(kernel=8, levels=8, width=24)", 70_369),
        ("sequential-mnist", "tcn(kernel=7, levels=8, width=25)", 66_910),
        ("permuted-mnist", "tcn(kernel=6, levels=8, width=20)", 37_010),
        ("copy-memory(delay=1000)", "tcn(kernel=8, levels=8, width=10)", 12_530),
        ("copy-memory(coding=one-hot)", "tcn(kernel=8, levels=8, width=10)", 13_230),
        ("jsb", "tcn(kernel=3, levels=2, width=150)", 269_938),
        ("nottingham", "tcn(kernel=6, levels=4, width=150)", 1_053_238),
    ],
)
def test_the_tcns_of_the_protocol(task: str, model: str, parameters: int) -> None:
    made, (cls, options) = task_of(task), resolved(model)
    assert networks.on_paper(made, cls, options).parameter_count == parameters
    width = options.pop("width")
    assert sizing.fit(made, cls, options, parameters, tolerance=0) == sizing.Size(width, parameters)


WORDS, NARROW, WIKITEXT, LAMBADA, SMALLER, LARGER, TEXT8_SMALLER, TEXT8 = (
    ("ptb-word", None, None, 14_659_600),
    ("ptb-word", "tied", "embedding(width=600)", 14_659_600),
    ("wikitext-103", "tied", "embedding(width=400)", 132_060_735),
    ("novels", "tied", "embedding(width=500)", 56_711_216),
    ("ptb-char", None, None, 2_222_100),
    ("ptb-char", "softmax", "embedding(width=100)", 3_250_900),
    ("text8", None, None, 4_129_667),
    ("text8", "softmax", "embedding(width=100)", 5_050_887),
)
# Task, head, embedding and budget, model, width and parameters of one and of two layers: protocol.md §2.2 again.
LANGUAGE = [
    (WORDS, "lstm", (865, 14_652_720), (694, 14_667_280)),
    (WORDS, "gru", (937, 14_653_436), (764, 14_663_520)),
    (WORDS, "rnn", (1184, 14_656_080), (1036, 14_667_328)),
    (NARROW, "lstm", (1142, 14_662_392), (733, 14_668_796)),
    (NARROW, "gru", (1344, 14_663_272), (855, 14_652_085)),
    (NARROW, "rnn", (2401, 14_661_403), (1509, 14_658_679)),
    (WIKITEXT, "lstm", (2247, 132_070_147), (1353, 132_057_091)),
    (WIKITEXT, "gru", (2614, 132_059_207), (1569, 132_047_212)),
    (WIKITEXT, "rnn", (4585, 132_061_530), (2738, 132_053_419)),
    (LAMBADA, "lstm", (1299, 56_709_212), (814, 56_700_892)),
    (LAMBADA, "gru", (1523, 56_715_441), (949, 56_716_513)),
    (LAMBADA, "rnn", (2702, 56_709_924), (1667, 56_712_051)),
    (SMALLER, "lstm", (689, 2_219_496), (411, 2_223_628)),
    (SMALLER, "gru", (802, 2_220_174), (477, 2_225_485)),
    (SMALLER, "rnn", (1415, 2_222_355), (834, 2_220_154)),
    (LARGER, "lstm", (845, 3_248_160), (501, 3_250_528)),
    (LARGER, "gru", (983, 3_253_865), (581, 3_253_421)),
    (LARGER, "rnn", (1727, 3_250_083), (1015, 3_252_035)),
    (TEXT8_SMALLER, "lstm", (963, 4_131_108), (568, 4_125_839)),
    (TEXT8_SMALLER, "gru", (1119, 4_131_837), (659, 4_134_657)),
    (TEXT8_SMALLER, "rnn", (1968, 4_129_623), (1151, 4_127_911)),
    (TEXT8, "lstm", (1070, 5_047_777), (630, 5_044_617)),
    (TEXT8, "gru", (1243, 5_051_793), (730, 5_046_297)),
    (TEXT8, "rnn", (2183, 5_049_823), (1276, 5_054_411)),
]


def text_of(name: str, head: str | None, embedding: str | None) -> tuple[Task, Spec, Spec]:
    """A text, and its head and embedding, its own where none is named."""
    task = Novels() if name == "novels" else task_of(name)
    return task, networks.head_for(task, head), networks.embedding_for(task, embedding)


@pytest.mark.parametrize(("row", "model", "one", "two"), LANGUAGE)
def test_the_sizes_of_the_protocol_for_texts(
    row: tuple[str, str | None, str | None, int], model: str, one: tuple[int, int], two: tuple[int, int]
) -> None:
    *names, budget = row
    task, head, embedding = text_of(*names)  # type: ignore[arg-type]
    for layers, expected in ((1, one), (2, two)):
        cls, options = resolved(f"{model}(layers={layers})")
        assert sizing.fit(task, cls, options, budget, 0.002, head, embedding) == sizing.Size(*expected)


@pytest.mark.parametrize(
    ("task", "head", "embedding", "model", "parameters"),
    [
        ("ptb-word", None, None, "tcn", 14_659_600),
        ("ptb-char", None, None, "tcn", 3_250_900),
        ("ptb-char(eos=spelled)", None, None, "tcn", 3_250_349),
        ("ptb-char", "tied", None, "tcn(widths=[450, 450, 100])", 2_222_100),
        ("ptb-char(eos=spelled)", "tied", None, "tcn(kernel=3, levels=3, widths=[450, 450, 100])", 2_221_999),
        ("text8", None, None, "tcn", 5_050_887),
        ("text8", "tied", None, "tcn(widths=[520, 520, 520, 520, 100])", 4_129_667),
        ("wikitext-103", None, None, "tcn(widths=[1000, 1000, 1000, 1000, 400])", 132_060_735),
        ("novels", None, None, "tcn(kernel=4, levels=5, width=500)", 56_711_216),
        ("lambada", None, None, "tcn", 56_711_216 + 501),
        ("ptb-word", None, None, "lstm(layers=3, width=700)", 18_786_800),
        ("text8", None, None, "lstm(width=1024)", 4_642_471),
    ],
)
def test_the_published_sizes_of_texts(
    task: str, head: str | None, embedding: str | None, model: str, parameters: int
) -> None:
    made, *ends = text_of(task, head, embedding)
    spec = sizing.sized(made, parse(model), None, 0.01, *ends)
    cls, options = registry.resolve("model", spec)
    assert networks.on_paper(made, cls, options, *ends).parameter_count == parameters


def test_a_text_describes_itself_at_the_published_size() -> None:
    facts = facts_of("ptb-word", "tcn", None, 0.01)
    assert (facts["parameters"], facts["width"], facts["receptive_field"]) == (14_659_600, 600, 61)
    assert (facts["head"], facts["embedding"], facts["vocabulary"]) == ("tied", "embedding", 10_000)
    facts = facts_of("ptb-word", "lstm", 14_659_600, 0.01)
    assert (facts["parameters"], facts["width"]) == (14_652_720, 865)
    facts = facts_of("ptb-char", "tcn(widths=[450, 450, 100])", None, 0.01, "tied", "embedding(width=100, dropout=0.1)")
    assert (facts["parameters"], facts["head"]) == (2_222_100, "tied")
    assert facts["embedding"] == "embedding(width=100, dropout=0.1)"


def test_a_tasks_sizes_fill_in_what_is_not_named() -> None:
    """An option that is named goes before the published one, and a budget before the published width."""

    def options(task: str, model: str, budget: int | None = None) -> tuple[int, int, int]:
        made, *ends = text_of(task, None, None)
        filled = sizing.sized(made, parse(model), budget, 0.01, *ends).options
        return filled["kernel"], filled["levels"], filled["width"]

    assert options("ptb-word", "tcn") == (3, 4, 600)
    assert options("ptb-word", "tcn(kernel=2, width=20)") == (2, 4, 20)
    assert options("ptb-word", "tcn(levels=8)") == (3, 8, 600)
    assert options("text8", "tcn") == (2, 5, 520)
    assert options("adding", "tcn") == (7, 8, 25), "the model's own where the task has none"
    assert options("ptb-word", "tcn", 7_000_000) == (3, 4, 370)
    assert options("ptb-word", "tcn(width=600)", 7_000_000) == (3, 4, 600), "the spec's own width goes before a budget"
    assert sizing.sized(task_of("ptb-word"), parse("lstm"), None, 0.01, parse("tied")).options["width"] == 128


def test_beyond_the_tolerance_the_nearest_counts_are_named() -> None:
    task = task_of("copy-memory(delay=1000)")
    with pytest.raises(UsageError) as raised:
        sizing.fit(task, *resolved("gru"), 12_530)
    assert str(raised.value) == (
        "no width comes within 1.0% of 12,530 parameters: 61 gives 12,332 (-1.6%), 62 gives 12,720 (+1.5%); "
        "another budget or a wider tolerance is needed"
    )
    assert sizing.fit(task, *resolved("gru"), 12_530, 0.0152).width == 62
    with pytest.raises(UsageError):
        sizing.fit(task, *resolved("gru"), 12_530, 0.0151)


@pytest.mark.parametrize("budget", [1, 5, 20])
def test_a_budget_below_the_narrowest(budget: int) -> None:
    task = task_of("adding(length=20)")
    with pytest.raises(UsageError, match=f"within 1.0% of {budget} parameters: 1 gives "):
        sizing.fit(task, *resolved("lstm"), budget)


@pytest.mark.parametrize("budget", [0, -3])
def test_a_budget_that_is_none(budget: int) -> None:
    with pytest.raises(UsageError, match="a budget of at least 1 is needed"):
        sizing.fit(task_of("adding(length=20)"), *resolved("lstm"), budget)


def test_where_another_option_gives_the_sizes_the_width_stays() -> None:
    task, (cls, options) = task_of("adding(length=20)"), resolved("tcn(widths=[4, 5])")
    assert sizing.fit(task, cls, options, 12) == sizing.Size(25, networks.on_paper(task, cls, options).parameter_count)


def test_the_head_is_counted_and_checked() -> None:
    task, (cls, options) = task_of("jsb"), resolved("gru(width=10)")
    head = networks.on_paper(task, cls, options).head
    assert sum(parameter.numel() for parameter in head.parameters()) == 10 * 88 + 88
    assert (networks.build(task, cls, options, parse("linear(std=0.5)")).head.weight.std() - 0.5).abs() < 0.05
    for text, hint in (
        ("lineal", "unknown head 'lineal': did you mean 'linear'"),
        ("linear(sdt=1)", "head linear has no option 'sdt': did you mean 'std'"),
        ("linear(std=wide)", "std=wide: a number or none is needed"),
    ):
        with pytest.raises(UsageError, match=hint):
            networks.build(task, cls, options, parse(text))
    assert networks.canonical_head(Spec("linear", {"std": None})) == networks.LINEAR
    assert str(networks.canonical_head(parse("linear(std=1)"))) == "linear(std=1.0)"


def test_counting_draws_nothing() -> None:
    before = torch.get_rng_state()
    sizing.fit(task_of("adding(length=600)"), *resolved("lstm"), 70_369)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_a_model_refuses_is_one_line() -> None:
    with pytest.raises(UsageError, match="dropout: acts between layers and there is 1"):
        networks.on_paper(task_of("adding(length=20)"), *resolved("lstm(dropout=0.5)"))


@pytest.mark.parametrize(
    "error", [RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), MemoryError]
)
def test_a_network_beyond_memory_is_refused_in_words(error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task, (cls, options) = task_of("adding(length=20)"), resolved("lstm(width=3000000000, layers=2)")
    expected = (
        "width=3000000000, layers=2: such a network has more numbers than memory holds; a smaller width is needed"
    )
    for make in (networks.on_paper, networks.build):
        with pytest.raises(UsageError) as raised:
            make(task, cls, options)
        assert str(raised.value) == expected

    @functools.wraps(cls.__init__)
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(cls, "__init__", fails)
    with pytest.raises(UsageError, match="width=3000000000, layers=2: such a network has more numbers than memory"):
        networks.build(task, cls, options)
