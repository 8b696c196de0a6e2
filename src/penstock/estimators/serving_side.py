"""What stands between callers and a trained model: steps from the rows they send to the rows the model takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from penstock.data.columns import ColumnBatch
from penstock.data.profile import TableProfile
from penstock.data.recipe.row_program import RowProgram
from penstock.data.recipe.serving_input import program_of_function, program_of_section
from penstock.data.recipe.travel import TravellingRecipe, unchanged_inputs
from penstock.data.schema import Schema
from penstock.errors import UsageError
from penstock.export.caller_rows import caller_rows

__all__ = ["ServingSide", "serving_side"]


@dataclass(frozen=True, kw_only=True)
class ServingSide:
    """program: from what callers send to what the model takes; None where they send just that.

    sent: real rows as callers send them, where some are known. unused: columns that callers may send beside them; None
    for those that the training left out.
    """

    program: RowProgram | None = None
    sent: ColumnBatch | None = None
    unused: tuple[str, ...] | None = None

    def profile(self, trained_on: bytes) -> bytes:
        """The profile of what callers send, so far as it is known: of columns that the steps take over unchanged."""
        if self.program is None:
            return trained_on
        profile = TableProfile.from_json(trained_on)
        inputs = self.program.input_schema.names
        known = [
            msgspec.structs.replace(profile[made], name=sent)
            for sent, made in unchanged_inputs(self.program).items()
            if made in profile
        ]
        others = [column for column in profile.columns if column.name not in inputs]
        return msgspec.structs.replace(profile, columns=(*known, *others)).to_json()


def serving_side(
    model_inputs: Schema,
    samples: ColumnBatch,
    *,
    function: Callable[[], Any] | None = None,
    section: Any = None,
    recipe: TravellingRecipe | None = None,
) -> ServingSide:
    """The serving side of a model.

    samples: real rows of the model's inputs. function: a `serving_input_receiver_fn`; section: a `serving:` section;
    either says what callers send in place of the model's inputs, or, behind a recipe, of the recipe's.
    Raises UsageError, ConfigError or DataError for what does not fit the model.
    """
    if function is not None and section is not None:
        raise UsageError("give serving_input_receiver_fn or serving, not both")
    behind = None if recipe is None else recipe.program(model_inputs)
    before = _program(function, section, model_inputs if behind is None else behind.input_schema)
    if behind is None or recipe is None:
        return ServingSide(program=before)
    rows = caller_rows(behind, samples, given=recipe.samples(behind))
    unused = recipe.unused(behind)
    if before is None:
        return ServingSide(program=behind, sent=rows, unused=unused)
    inputs = before.input_schema.names
    return ServingSide(
        program=before.then(behind),
        sent=caller_rows(before, rows),
        unused=tuple(name for name in unused if name not in inputs),
    )


def _program(function: Callable[[], Any] | None, section: Any, inputs: Schema) -> RowProgram | None:
    """The steps that a user asked for; None where callers send what is taken."""
    if section is not None:
        return program_of_section(section, inputs)
    if function is None:
        return None
    program = program_of_function(function, inputs)
    changes = any(
        assignment.source != assignment.column.name for stage in program.stages for assignment in stage.columns
    )
    return program if changes else None
