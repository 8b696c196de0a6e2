"""The recipe that prepared a training's rows, as the steps in front of the model: a prediction takes the raw row."""

from collections.abc import Sequence

from penstock.data.recipe.prepared import PreparedTable, find_prepared
from penstock.data.recipe.row_program import RowProgram
from penstock.data.recipe.serving_input import program_of_section
from penstock.data.schema import Schema
from penstock.errors import DataError

__all__ = ["program_in_front"]


def program_in_front(source: str | Sequence[str], model_inputs: Schema, *, serving: object = None) -> RowProgram | None:
    """From what callers send to the model's inputs; None if they send just these.

    source: as the training named its rows; where a recipe prepared them, its row-wise steps come first. serving: a
    `serving:` section; its columns are then those that the recipe takes.
    Raises DataError if the model takes a column that the recipe makes for training only, ConfigError for the section.
    """
    note = _note_of(source)
    if note is None:
        return None if serving is None else program_of_section(serving, model_inputs)
    program = note.serving_program
    for name in model_inputs.names:
        if name not in program.output_schema:
            raise DataError(
                f"the model takes {name!r}, by which the recipe of {source} parts rows for training; no row that is "
                f"asked for has it, so leave it out of the features"
            )
    program = program.narrowed(model_inputs.names)
    return program if serving is None else program_of_section(serving, program.input_schema).then(program)


def _note_of(source: str | Sequence[str]) -> PreparedTable | None:
    """The note of the rows; None unless all of them are of one preparation."""
    names = [source] if isinstance(source, str) else list(source)
    notes = [find_prepared(name) for name in names]
    first = notes[0] if notes else None
    if first is None or any(note is None or note.digest != first.digest for note in notes):
        return None
    return first
