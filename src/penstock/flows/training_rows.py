"""The rows that an experiment with a recipe trains on: the recipe's, prepared once and found again."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from penstock.data.databases import without_password
from penstock.data.recipe.document import load_recipe
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.steps.split import Split
from penstock.errors import ConfigError
from penstock.flows.prepare import Prepared, kept_rows
from penstock.settings import Settings
from penstock.store import blobs
from penstock.training.experiment import Experiment

__all__ = ["with_prepared_rows"]


@contextmanager
def with_prepared_rows(
    experiment: Experiment, *, settings: Settings, note: Callable[[str], None]
) -> Generator[Experiment]:
    """The experiment on the rows that its recipe makes; the same experiment where it has none.

    The rows are there within the context; afterwards they may give way to those of other experiments.
    A recipe that splits its rows trains on the first part and evaluates on the second. Rows to evaluate on that the
    experiment names go through the same steps, with the numbers that were measured on the rows to train on.
    Raises ConfigError where recipe and experiment contradict each other, and what preparing raises.
    """
    if not experiment.data.recipe:
        yield experiment
        return
    with ExitStack() as held:
        yield _with_rows(experiment, lambda recipe: held.enter_context(kept_rows(recipe, settings=settings)), note)


def _with_rows(
    experiment: Experiment, prepared: Callable[[Recipe], Prepared], note: Callable[[str], None]
) -> Experiment:
    recipe = _recipe(experiment)
    split = next((step for step in reversed(recipe.steps) if isinstance(step, Split)), None)
    if split is not None:
        recipe = recipe.partition_by(split.column)
    rows = _told(prepared(recipe), note)
    source, evaluation = rows.uri, None
    if split is not None:
        training, held_out, *_ = split.parts
        if experiment.data.evaluation is not None:
            raise ConfigError(
                f"the recipe {experiment.data.recipe} splits its rows, and data.evaluation names others to evaluate "
                "on; leave one of them out"
            )
        source, evaluation = (blobs.join(rows.uri, f"{split.column}={part}") for part in (training, held_out))
        for part, place in ((training, source), (held_out, evaluation)):
            if not Path(place).is_dir():
                raise ConfigError(f"no row is in the part {part!r} of the split; give it a larger share, or more rows")
        note(f"trained on the part {training!r} of the split, evaluated on {held_out!r}")
    elif experiment.data.evaluation is not None:
        again = _with_passwords(rows.note.steps, recipe).reading(_sources(experiment.data.evaluation), **recipe.read)
        evaluation = _told(prepared(again), note).uri
    data = msgspec.structs.replace(experiment.data, source=source, evaluation=evaluation, recipe="", read={})
    return msgspec.structs.replace(experiment, data=data)


def _recipe(experiment: Experiment) -> Recipe:
    """The recipe, on the rows that the experiment names, if it does."""
    data = experiment.data
    recipe = load_recipe(Path(data.recipe))
    if data.source:
        return recipe.reading(_sources(data.source), **(data.read or recipe.read))
    if recipe.source is None:
        raise ConfigError(f"neither data.source nor the recipe {data.recipe} names rows; name them in one of the two")
    return recipe.reading(recipe.source, **data.read) if data.read else recipe


def _sources(source: str | list[str]) -> str | tuple[str, ...]:
    return source if isinstance(source, str) else tuple(source)


def _with_passwords(noted: Recipe, recipe: Recipe) -> Recipe:
    """What was noted of a recipe, with the passwords that it had."""
    known: dict[str, str] = {}
    recipe.placed(lambda name: known.setdefault(without_password(name), name))
    return noted.placed(lambda name: known.get(name, name))


def _told(rows: Prepared, note: Callable[[str], None]) -> Prepared:
    if not rows.was_done:
        note(f"prepared {rows.rows:,} rows by the recipe")
    return rows
