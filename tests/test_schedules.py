"""Learning-rate schedules and optimizers, against histories worked by hand from the published scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from seqbench.bench import api
from seqbench.bench.engine.training import train
from seqbench.bench.experiments.settings import Training, make_schedule
from seqbench.tasks import adding


def rates(schedule: str, history: Sequence[float], first: float = 1.0) -> list[float]:
    """The learning rate of each epoch, of the one after the history too."""
    made = make_schedule(schedule)
    return [first * made.factor(history[:epoch]) for epoch in range(len(history) + 1)]


def published(scores: Sequence[float], by: float, after: int, window: int, ties: bool) -> list[float]:
    """The rule of the published scripts, written as they write it: a rate that changes after an epoch."""
    rate, used, before = 1.0, [], list[float]()
    for epoch, score in enumerate(scores, 1):
        used.append(rate)
        worst = max(before[-window:], default=score + 1)
        if epoch > after and (score >= worst if ties else score > worst):
            rate *= by
        before.append(score)
    return [*used, rate]


def test_constant() -> None:
    assert rates("constant", [3.0, 9.0, 27.0]) == [1.0] * 4


def test_mnist_a_tenth_after_every_tenth_epoch() -> None:
    """Epochs 1 to 10 at 2e-3, 11 to 20 at 2e-4, whatever the scores are."""
    expected = [2e-3] * 10 + [2e-4] * 10 + [2e-5]
    assert rates("step(every=10, by=0.1)", [0.5] * 20, 2e-3) == pytest.approx(expected)
    assert rates("step", [0.5] * 20, 2e-3) == pytest.approx(expected), "that is the default"


def test_music_a_tenth_when_worse_than_the_last_three() -> None:
    """`epoch > 10 and loss > max(last 3 losses)`: the rise of epoch 5 is too early, that of 11 counts, 12 is not worse
    than all of 9, 10, 11, nor does an equal loss count (13), and 14 counts again."""
    #          1    2    3    4    5    6    7    8    9   10   11   12   13   14
    losses = [9.0, 8.0, 7.0, 6.0, 9.9, 5.0, 4.0, 3.0, 2.0, 1.0, 3.5, 3.2, 3.5, 3.6]
    expected = [1.0] * 11 + [0.1] * 3 + [0.01]
    assert rates("plateau(by=0.1, window=3, after=10)", losses) == pytest.approx(expected)
    assert rates("plateau", losses) == pytest.approx(expected), "that is the default"


def test_words_a_half_when_not_better_than_the_last_five() -> None:
    """`epoch > 5 and loss >= max(last 5 losses)`: 6 equals the worst of 1 to 5, 7 is below it, 8 above."""
    losses = [5.0, 4.0, 4.5, 4.2, 4.1, 5.0, 4.9, 5.1]
    expected = [1.0] * 6 + [0.5] * 2 + [0.25]
    assert rates("plateau(by=0.5, window=5, after=5, ties=true)", losses) == pytest.approx(expected)
    without_ties = [1.0] * 8 + [0.5]
    assert rates("plateau(by=0.5, window=5, after=5)", losses) == pytest.approx(without_ties)


@pytest.mark.parametrize(("by", "after", "window", "ties"), [(0.1, 10, 3, False), (0.5, 5, 5, True), (0.5, 0, 1, True)])
def test_plateau_is_the_published_rule(by: float, after: int, window: int, ties: bool) -> None:
    numbers = torch.Generator().manual_seed(3)
    for _ in range(50):
        losses = torch.randint(0, 6, (30,), generator=numbers).double().tolist()
        text = f"plateau(by={by}, window={window}, after={after}, ties={str(ties).lower()})"
        assert rates(text, losses) == pytest.approx(published(losses, by, after, window, ties))


@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_the_loop_asks_with_validation_scores_of_which_lower_is_better(
    direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([9.0 if direction == "higher" else 0.0, 0.5, 0.4, 0.6, 0.3])  # of epoch 0, which does not count
    metric = adding.base.Metric("mse", "", direction, floor=1.0)  # type: ignore[arg-type]

    def totals(self: adding.Task, outputs: torch.Tensor, batch: Any) -> Any:
        if len(batch.targets) == 3:  # the validation split
            return {"mse": (torch.tensor(next(scores)), 1)}
        return {"mse": (torch.tensor(9.9), 1)}

    monkeypatch.setattr(adding.Task, "totals", totals)
    monkeypatch.setattr(adding.Task, "metrics", property(lambda self: (metric,)))
    settings = {"epochs": 4, "batch": 8, "learning_rate": 0.5, "schedule": "plateau(by=0.1, window=1, after=0)"}
    outcome = train(api.make_run("adding(length=4, train=8, valid=3, test=2)", "gru(width=2)", **settings))
    used = [point["learning_rate"] for point in outcome.progress.curve[1:]]
    expected = [0.5, 0.5, 0.5, 0.05] if direction == "lower" else [0.5, 0.5, 0.05, 0.05]
    assert used == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "kind", "expected"),
    [
        ({"optimizer": "adam"}, torch.optim.Adam, {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8}),
        ({"optimizer": "rmsprop", "momentum": 0.5}, torch.optim.RMSprop, {"lr": 0.1, "alpha": 0.99, "momentum": 0.5}),
        ({"optimizer": "sgd", "momentum": 0.9}, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": False}),
        ({"optimizer": "adagrad", "weight_decay": 0.2}, torch.optim.Adagrad, {"lr": 0.1, "weight_decay": 0.2}),
    ],
)
def test_optimizers(settings: dict[str, Any], kind: type, expected: dict[str, Any]) -> None:
    made = Training(learning_rate=0.1, **settings).make_optimizer([torch.nn.Parameter(torch.zeros(2))])
    assert type(made) is kind
    (group,) = made.param_groups
    assert {name: group[name] for name in expected} == expected
    assert group["weight_decay"] == settings.get("weight_decay", 0.0)
