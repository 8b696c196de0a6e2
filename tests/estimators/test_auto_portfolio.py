"""Trees next to the best: settings a step away, with a name by which they are found again."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from penstock.estimators.auto.mutations import mutated
from penstock.estimators.auto.portfolio import Portfolio, portfolio
from penstock.estimators.regression_head import fit_regression_head


def portfolio_of(folder: Path, *, seed: int = 0, rows: int = 5_000) -> Portfolio:
    head = fit_regression_head(np.arange(10.0), label="y")
    return portfolio(head, rows=rows, is_skewed=True, folder=folder, has_words=True, seed=seed)


def test_settings_move_a_step_at_a_time() -> None:
    rng = np.random.default_rng(0)
    settings: dict[str, Any] = {"num_leaves": 31, "learning_rate": 0.04, "min_data_in_leaf": 20, "cat_smooth": 10.0}
    seen: dict[str, set[Any]] = {}
    for _ in range(300):
        made = mutated(settings, rng, words=False)
        changed = {name for name in made if made[name] != settings.get(name)} - {"bagging_freq", "extra_trees"}
        assert 1 <= len(changed) <= 3
        for name in changed:
            seen.setdefault(name, set()).add(made[name])
    assert seen["num_leaves"] == {15, 63}
    assert seen["learning_rate"] == {0.03, 0.06}
    assert seen["bagging_fraction"] == {0.8}
    assert not {"cat_smooth", "max_cat_to_onehot"} & set(seen)


def test_rows_are_sampled_where_a_share_of_them_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    made = [mutated({"num_leaves": 31}, rng, words=True) for _ in range(100)]
    sampled = [one for one in made if one.get("bagging_fraction", 1.0) < 1.0]
    assert sampled
    assert all(one["bagging_freq"] == 1 for one in sampled)


def test_proposals_descend_from_the_best_and_learn_the_same_of_the_label(tmp_path: Path) -> None:
    known = portfolio_of(tmp_path)
    for _ in range(20):
        made = known.propose({"trees-of-logarithms": 0.1, "network": 0.05})
        assert made is not None
        assert made.family == "BoostedTrees"
        assert made.parameters["target"] == "log"


def test_without_trees_nothing_is_proposed(tmp_path: Path) -> None:
    assert portfolio_of(tmp_path).propose({"network": 0.1, "linear": 0.2}) is None


def test_equal_seeds_propose_the_same(tmp_path: Path) -> None:
    first, second, other = (portfolio_of(tmp_path, seed=seed) for seed in (0, 0, 1))
    losses = {"trees": 0.1, "trees-sampled": 0.2}

    def names_of(known: Portfolio) -> list[str]:
        return [made.name for _ in range(5) if (made := known.propose(losses)) is not None]

    names = names_of(first)
    assert names == names_of(second)
    assert names != names_of(other)


def test_what_was_proposed_is_made_again_of_what_the_leaderboard_says(tmp_path: Path) -> None:
    known = portfolio_of(tmp_path)
    made = [made for _ in range(20) if (made := known.propose({"trees-of-rates": 0.1, "trees": 0.2})) is not None]
    entries = [{"candidate": one.name, "parameters": one.parameters} for one in [*made, *known.candidates]]
    leaderboard = msgspec.json.decode(msgspec.json.encode(entries))
    again = portfolio_of(tmp_path).proposed(leaderboard)
    assert again == made
    assert [repr(one.parameters) for one in again] == [repr(one.parameters) for one in made]


@pytest.mark.parametrize("rows", [100, 5_000, 10**6])
def test_candidates_have_names_of_their_own(rows: int, tmp_path: Path) -> None:
    names = [candidate.name for candidate in portfolio_of(tmp_path, rows=rows).candidates]
    assert len(set(names)) == len(names)
