"""How long and how hard a network trains where the user leaves it open: by the number of rows. Measured, not derived.

Chosen on tables of 400 to 60,000 rows of mixed kinds; small tables want more regularization, large ones fewer passes.
"""

from dataclasses import dataclass

from penstock.estimators.schedules import Schedule

__all__ = ["Recipe", "recipe_for"]


@dataclass(frozen=True)
class Recipe:
    """rate, weight_decay: of Adam with decoupled decay. steps: where the input has no end and no number is given."""

    rate: float
    weight_decay: float
    steps: int
    schedule: Schedule = "cosine"


def recipe_for(rows: int, batch_size: int) -> Recipe:
    """The recipe for that many training rows, so many of them a step."""
    passes = 60 if rows < 100_000 else 20
    steps = min(60_000, max(2_000, passes * rows // batch_size))
    is_full = batch_size >= rows
    return Recipe(
        rate=0.01 if is_full else 0.003,
        weight_decay=min(0.3, 120.0 / rows) if is_full else min(0.1, 200.0 / rows),
        steps=steps,
    )
