"""The rows that an experiment with a recipe trains on: the recipe's, prepared once and found again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import msgspec

from penstock.data.recipe.document import load_recipe, written_recipe
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.steps.split import Split
from penstock.errors import ConfigError
from penstock.flows.prepare import Prepared, prepare
from penstock.settings import Settings
from penstock.store import blobs
from penstock.training.experiment import Experiment

__all__ = ["with_prepared_rows"]


def with_prepared_rows(experiment: Experiment, *, settings: Settings, note: Callable[[str], None]) -> Experiment:
    """The experiment on the rows that its recipe makes; the same experiment where it has none.

    A recipe that splits its rows trains on the first part and evaluates on the second. Rows to evaluate on that the
    experiment names go through the same steps, with the numbers that were measured on the rows to train on.
    Raises ConfigError where recipe and experiment contradict each other, and what preparing raises.
    """
    if not experiment.data.recipe:
        return experiment
    recipe = _recipe(experiment)
    split = next((step for step in reversed(recipe.steps) if isinstance(step, Split)), None)
    if split is not None:
        recipe = recipe.partition_by(split.column)
    prepared = _prepared(recipe, settings, note)
    source, evaluation = prepared.uri, None
    if split is not None:
        training, held_out, *_ = split.parts
        if experiment.data.evaluation is not None:
            raise ConfigError(
                f"the recipe {experiment.data.recipe} splits its rows, and data.evaluation names others to evaluate "
                "on; leave one of them out"
            )
        source, evaluation = (blobs.join(prepared.uri, f"{split.column}={part}") for part in (training, held_out))
        for part, place in ((training, source), (held_out, evaluation)):
            if not Path(place).is_dir():
                raise ConfigError(f"no row is in the part {part!r} of the split; give it a larger share, or more rows")
        note(f"trained on the part {training!r} of the split, evaluated on {held_out!r}")
    elif experiment.data.evaluation is not None:
        again = prepared.note.steps.reading(_sources(experiment.data.evaluation), **recipe.read)
        evaluation = _prepared(again, settings, note).uri
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


def _prepared(recipe: Recipe, settings: Settings, note: Callable[[str], None]) -> Prepared:
    key = hashlib.sha256(json.dumps(written_recipe(recipe), sort_keys=True).encode()).hexdigest()[:16]
    place = settings.home / "projects" / settings.project / "prepared" / key
    done = prepare(recipe, output=str(place), settings=settings, overwrite=True)
    if not done.was_done:
        note(f"prepared {done.rows:,} rows by the recipe")
    return done
