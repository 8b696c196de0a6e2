"""The search spends its trainings on candidates that do well, keeps what is trained, and ends with the time."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.estimators.auto.book import Book
from penstock.estimators.auto.candidate import Candidate, FoldFit
from penstock.estimators.auto.clock import Clock, TimeIsUp
from penstock.estimators.auto.metric import Metric
from penstock.estimators.auto.mixture import Member
from penstock.estimators.auto.rows import SearchRows, deal_folds
from penstock.estimators.auto.search import Chosen, Search, SearchView
from penstock.estimators.examples import Examples
from penstock.estimators.regression_head import fit_regression_head
from penstock.estimators.setup import Setup
from penstock.features.arrays import batch_of_arrays
from penstock.features.fitted import FittedFeatures


@dataclass
class Guess:
    """Answers the truth and an error of its own."""

    name: str
    error: float
    seconds: float = 0.001
    seed: int = 0
    trained: list[int] = field(default_factory=list)
    ends_the_clock_at: int | None = None
    family: str = "Guess"
    order: list[str] = field(default_factory=list)

    @property
    def parameters(self) -> dict[str, Any]:
        return {"error": self.error}

    @property
    def start_s(self) -> float:
        return 0.0

    def fit(self, rows: SearchRows, fold: int, *, clock: Clock, allowance_s: float) -> FoldFit:
        assert allowance_s > 0
        self.trained.append(fold)
        self.order.append(self.name)
        if fold == self.ends_the_clock_at:
            clock.interrupt()
            raise TimeIsUp
        held_out = rows.held_out(fold)
        noise = np.random.default_rng(self.seed + fold).normal(0, self.error, (len(held_out), 1))
        scores = (rows.targets[held_out] + noise).astype(np.float32)
        return FoldFit(fold=fold, scores=scores, seconds=self.seconds, size=1, values=10, arrays={})

    def member(self, setup: Setup, fit: FoldFit, *, weight: float) -> Member:
        raise NotImplementedError


def _proves_protocol(guess: Guess) -> Candidate:
    return guess


@pytest.fixture
def rows() -> SearchRows:
    labels = np.random.default_rng(0).normal(0, 1, 500)
    batch = batch_of_arrays({"x": labels})
    head = fit_regression_head(labels, label="y")
    features = FittedFeatures(raw_schema=batch.schema, columns=())
    setup = Setup(estimator="Auto", parameters={}, features=features, head=head, rows=500)
    targets = head.encode(labels)
    return SearchRows(
        examples=Examples(features=batch, labels=labels),
        setup=setup,
        targets=targets,
        weights=None,
        folds=deal_folds(targets, 5, is_classification=False, seed=0),
        fold_count=5,
        metric=Metric("rmse"),
        seed=0,
    )


def search_of(rows: SearchRows, folder: Path, guesses: list[Guess], **options: Any) -> tuple[Search, list[Chosen]]:
    seen: list[Chosen] = []
    search = Search(
        rows,
        guesses,
        book=Book(folder),
        clock=options.pop("clock", Clock(1_000.0)),
        view=SearchView(),
        changed=seen.append,
        opening=options.pop("opening", len(guesses)),
        **options,
    )
    search.run()
    return search, seen


def test_a_candidate_far_behind_is_trained_on_one_fold_only_where_another_would_cost_time(
    rows: SearchRows, tmp_path: Path
) -> None:
    good, bad, cheap = Guess("good", 0.1), Guess("bad", 5.0, seed=9, seconds=20.0), Guess("cheap", 5.0, seed=9)
    search, _ = search_of(rows, tmp_path, [good, bad, cheap])
    assert (good.trained, bad.trained, cheap.trained) == ([0, 1, 2, 3, 4], [0], [0, 1, 2, 3, 4])
    assert search.chosen is not None
    assert search.chosen.weights == {"good": 1.0}
    notes = {entry.candidate: entry.note for entry in search.leaderboard()}
    assert notes["good"] == ""
    assert notes["bad"] == "dropped after fold 1: far behind the best"
    assert notes["cheap"] == "adds nothing to the others"


def test_candidates_with_errors_of_their_own_are_averaged(rows: SearchRows, tmp_path: Path) -> None:
    search, seen = search_of(rows, tmp_path, [Guess("a", 0.3), Guess("b", 0.3, seed=50), Guess("c", 0.3, seed=90)])
    assert search.chosen is not None
    assert set(search.chosen.weights) == {"a", "b", "c"}
    assert search.chosen.loss < 0.2
    assert [chosen.folds for chosen in seen] == [1, 2, 3, 4, 5]


def test_what_is_kept_is_not_trained_again(rows: SearchRows, tmp_path: Path) -> None:
    first, _ = search_of(rows, tmp_path, [Guess("a", 0.3)], most_fits=3)
    again = Guess("a", 0.3)
    second, _ = search_of(rows, tmp_path, [again])
    assert first.fit_count == 3
    assert again.trained == [3, 4]
    whole, _ = search_of(rows, tmp_path / "other", [Guess("a", 0.3)])
    assert second.chosen == whole.chosen


def test_a_damaged_fold_is_trained_again(rows: SearchRows, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search_of(rows, tmp_path, [Guess("a", 0.3)])
    (tmp_path / "candidates" / "a" / "checkpoint-2.npz").write_bytes(b"damaged")
    again = Guess("a", 0.3)
    search_of(rows, tmp_path, [again])
    assert again.trained == [1]
    assert "that fold is trained again" in capsys.readouterr().err


def test_an_interrupted_search_keeps_the_best_so_far(rows: SearchRows, tmp_path: Path) -> None:
    stopping = Guess("b", 0.3, seed=50, ends_the_clock_at=2)
    search, _ = search_of(rows, tmp_path, [Guess("a", 0.3), stopping])
    assert search.chosen is not None
    assert search.chosen.folds == 2
    assert set(search.chosen.weights) == {"a", "b"}


def test_nothing_is_begun_that_is_not_expected_to_end_in_time(rows: SearchRows, tmp_path: Path) -> None:
    fast, slow = Guess("fast", 0.3), Guess("slow", 0.2, seconds=400.0, seed=50)
    search, _ = search_of(rows, tmp_path, [fast, slow])
    assert slow.trained == [0]
    assert [entry.note for entry in search.leaderboard() if entry.candidate == "slow"] == [
        "dropped after fold 1: no time for its other folds"
    ]


def test_without_time_nothing_is_chosen(rows: SearchRows, tmp_path: Path) -> None:
    search, seen = search_of(rows, tmp_path, [Guess("a", 0.3)], clock=Clock(0.0))
    assert search.chosen is None
    assert not seen


def test_challengers_join_where_they_help_and_the_search_ends_where_none_does(rows: SearchRows, tmp_path: Path) -> None:
    helps = Guess("helps", 0.3, seed=50)
    useless = [Guess(f"useless-{i}", 3.0, seed=i) for i in range(6)]
    search, _ = search_of(rows, tmp_path, [Guess("a", 0.3), helps, *useless], opening=1)
    assert search.chosen is not None
    assert set(search.chosen.weights) == {"a", "helps"}
    assert [len(one.trained) for one in useless] == [1, 1, 1, 1, 0, 0]
    assert search.leaderboard()[-1].note == "not tried: nothing gained"


@dataclass
class Compiled(Guess):
    """Compiles for a minute before its first step."""

    @property
    def start_s(self) -> float:
        return 60.0


def test_a_compilation_waits_until_the_time_is_of_no_other_use(rows: SearchRows, tmp_path: Path) -> None:
    order: list[str] = []
    compiled, later = Compiled("compiled", 0.1, order=order), Guess("later", 0.2, seed=50, order=order)
    search_of(rows, tmp_path, [Guess("a", 0.3), compiled, later], opening=2, clock=Clock(200.0))
    assert order == ["later"] * 5 + ["compiled"] * 5


def test_a_compilation_that_cannot_end_in_time_is_not_begun(rows: SearchRows, tmp_path: Path) -> None:
    compiled = Compiled("compiled", 0.1)
    search, _ = search_of(rows, tmp_path, [Guess("a", 0.3), compiled], clock=Clock(50.0))
    assert compiled.trained == []
    assert search.leaderboard()[-1].note == "not tried: no time"


def test_what_is_dear_waits_for_what_is_cheap(rows: SearchRows, tmp_path: Path) -> None:
    order: list[str] = []
    dear = Guess("dear", 0.3, seed=9, seconds=80.0, order=order)
    cheap = Guess("cheap", 0.02, seed=50, order=order)
    opening = [Guess("a", 0.02, seed=90, order=order), dear]
    search, _ = search_of(rows, tmp_path, [*opening, cheap], opening=2, clock=Clock(1_000.0))
    assert order == ["a", "dear", *["a"] * 4, *["cheap"] * 5]
    assert search.chosen is not None
    assert set(search.chosen.weights) == {"a", "cheap"}


def test_candidates_next_to_the_best_are_tried_as_long_as_they_help(rows: SearchRows, tmp_path: Path) -> None:
    errors = iter([0.2, 0.1, 0.05, *[3.0] * 9])
    asked: list[set[str]] = []

    def propose(losses: Mapping[str, float]) -> Candidate:
        asked.append(set(losses))
        number = len(asked)
        return Guess(f"proposed-{number}", next(errors), seed=10 * number)

    search, _ = search_of(rows, tmp_path, [Guess("a", 0.3)], propose=propose)
    assert asked[:3] == [{"a"}, {"a", "proposed-1"}, {"a", "proposed-1", "proposed-2"}]
    assert len(asked) == 3 + 4
    assert search.chosen is not None
    assert max(search.chosen.weights, key=search.chosen.weights.__getitem__) == "proposed-3"


def test_what_was_proposed_before_is_not_tried_again(rows: SearchRows, tmp_path: Path) -> None:
    again, new = Guess("again", 0.2, seed=50), Guess("new", 0.1, seed=90)
    drawn = iter([again, again, again, new])
    search_of(rows, tmp_path, [Guess("a", 0.3)], propose=lambda _losses: next(drawn, None))
    assert again.trained == new.trained == [0, 1, 2, 3, 4]


def test_what_waited_has_its_turn_where_time_is_left(rows: SearchRows, tmp_path: Path) -> None:
    dear = Guess("dear", 0.3, seed=9, seconds=80.0)
    search, _ = search_of(rows, tmp_path, [Guess("a", 0.1), Guess("b", 0.1, seed=50), dear], clock=Clock(1_000.0))
    assert search.leaderboard()[-1].candidate == "dear"
    assert dear.trained == [0, 1, 2, 3, 4]


def test_of_two_dear_ones_alike_one_goes_on(rows: SearchRows, tmp_path: Path) -> None:
    order: list[str] = []
    alike = [Guess(name, 0.1, seed=7, seconds=80.0, order=order) for name in ("a", "b")]
    search_of(rows, tmp_path, [*alike, Guess("c", 0.14, seed=50, order=order)], clock=Clock(1_000.0))
    assert sorted(order[3:11]) == ["b"] * 4 + ["c"] * 4


@dataclass
class Slowing(Guess):
    """A training a fold takes longer than the one before."""

    def fit(self, rows: SearchRows, fold: int, *, clock: Clock, allowance_s: float) -> FoldFit:
        fitted = super().fit(rows, fold, clock=clock, allowance_s=allowance_s)
        return replace(fitted, seconds=self.seconds * 10.0**fold)


def test_what_waits_is_not_called_back_for_a_later_fold(rows: SearchRows, tmp_path: Path) -> None:
    slowing, waiting = Slowing("slowing", 0.1, seconds=50.0), Guess("waiting", 0.1, seconds=55.0)
    search, _ = search_of(rows, tmp_path, [waiting, slowing], clock=Clock(1_000.0))
    assert slowing.trained[:2] == [0, 1]
    assert waiting.trained == list(range(len(waiting.trained)))
    assert search.chosen is not None


def test_what_fails_on_a_fold_is_out(rows: SearchRows, tmp_path: Path) -> None:
    @dataclass
    class Failing(Guess):
        def fit(self, rows: SearchRows, fold: int, *, clock: Clock, allowance_s: float) -> FoldFit:
            if fold == 1:
                raise TimeIsUp
            return super().fit(rows, fold, clock=clock, allowance_s=allowance_s)

    failing = Failing("failing", 0.3, seed=50)
    search, _ = search_of(rows, tmp_path, [Guess("a", 0.3), failing])
    assert failing.trained == [0]
    assert search.chosen == Chosen({"a": 1.0}, search.chosen.loss, 5) if search.chosen else False
    assert search.leaderboard()[-1].note == "its time ran out"


def test_a_search_that_goes_on_with_little_time_is_no_worse(rows: SearchRows, tmp_path: Path) -> None:
    def guesses() -> list[Guess]:
        return [Guess(name, 0.3, seed=40 * place, seconds=30.0) for place, name in enumerate("abcd")]

    proposed = Guess("proposed", 0.2, seed=500, seconds=30.0)
    whole, _ = search_of(rows, tmp_path, guesses(), propose=lambda _losses: proposed, opening=3, clock=Clock(2_000.0))
    assert whole.chosen is not None
    assert set(whole.chosen.weights) > {"proposed", "d"}
    for left_s in (0.0, 5.0, 50.0, 500.0):
        again, _ = search_of(rows, tmp_path, guesses(), before=[proposed], opening=3, clock=Clock(left_s))
        assert again.chosen is not None
        assert again.chosen.folds == 5
        assert again.chosen.loss <= whole.chosen.loss


def test_a_number_of_trainings_is_told_from_the_end_of_the_time(rows: SearchRows, tmp_path: Path) -> None:
    search, _ = search_of(rows, tmp_path, [Guess("a", 0.3), Guess("b", 0.3, seed=50)], most_fits=1)
    assert search.leaderboard()[-1].note == "not tried: the trainings asked for are done"


def test_what_a_graph_costs_is_measured_once_for_each_estimator(rows: SearchRows, tmp_path: Path) -> None:
    rehearsed: list[str] = []

    def rehearse(candidate: Candidate, _fit: FoldFit) -> float:
        rehearsed.append(candidate.name)
        return 5.0 if len(rehearsed) == 1 else 0.1

    clock = Clock(1_000.0)
    guesses = [Guess("a", 0.3), Guess("b", 0.3, seed=50, family="Other")]
    search_of(rows, tmp_path, guesses, rehearse=rehearse, clock=clock)
    assert sorted(rehearsed) == ["a", "a", "b", "b"]
    kept_back_s = 1_000.0 - clock.spent_s - clock.left_s
    assert kept_back_s == pytest.approx(1.0 + 1.3 * 0.1 * 5 * 2, abs=0.1)
