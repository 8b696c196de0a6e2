"""The recipe that prepared a training's rows, as the steps in front of the model: a prediction takes the raw row."""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.data.columns import ColumnBatch
from penstock.data.expressions.tree import Reference
from penstock.data.recipe.prepared import PreparedTable, find_prepared
from penstock.data.recipe.row_program import RowProgram
from penstock.data.schema import Schema
from penstock.errors import DataError

__all__ = ["TravellingRecipe", "travelling_recipe", "unchanged_inputs"]


@dataclass(frozen=True)
class TravellingRecipe:
    """The recipe behind the rows of a training. place: where these are, for messages."""

    note: PreparedTable
    place: str

    @property
    def part_columns(self) -> tuple[str, ...]:
        """Columns of the prepared rows that no row program makes: those that say which part of a split a row is in."""
        made = self.note.serving_program.output_schema
        return tuple(item.name for item in self.note.columns if item.name not in made)

    def program(self, model_inputs: Schema) -> RowProgram:
        """From a raw row to what the model takes; raw columns that this does not need are not asked for.

        Raises DataError if the model takes a column that the recipe makes for training only.
        """
        program = self.note.serving_program
        for name in model_inputs.names:
            if name not in program.output_schema:
                raise DataError(
                    f"the model takes {name!r}, by which the recipe of {self.place} parts rows for training; no row "
                    f"that is asked for has it, so leave it out of the features"
                )
        return program.narrowed(model_inputs.names)

    def samples(self, program: RowProgram) -> ColumnBatch | None:
        """Real rows: those columns of a program's input that were in the source; None where none were kept."""
        rows = self.note.sample_rows
        names = tuple(name for name in program.input_schema.names if name in rows.schema)
        return rows.select(names) if rows.rows and names else None

    def unused(self, program: RowProgram) -> tuple[str, ...]:
        """What callers may well send, since they have it, although the program does not ask for it."""
        known = (*(item.name for item in self.note.source), *(item.name for item in self.note.sent))
        return tuple(dict.fromkeys(name for name in known if name not in program.input_schema))

    def agrees_with(self, source: str | Sequence[str]) -> bool:
        """Whether other rows went through the same steps with the same numbers, so far as they say how they came."""
        other = _note_of(source)
        return other is None or other.serving_program == self.note.serving_program


def travelling_recipe(source: str | Sequence[str]) -> TravellingRecipe | None:
    """The recipe that prepared these rows; None unless all of them are of one preparation.

    source: as the training named its rows.
    """
    note = _note_of(source)
    if note is None:
        return None
    return TravellingRecipe(note, source if isinstance(source, str) else ", ".join(source))


def unchanged_inputs(program: RowProgram) -> dict[str, str]:
    """By input, the output that has its values as they came, for inputs that have one."""
    origins = {item.name: item.name for item in program.input_schema}
    schema = program.input_schema
    for stage in program.stages:
        found = {}
        for assignment in stage.columns:
            tree = assignment.expression
            if (
                isinstance(tree, Reference)
                and tree.column in origins
                and schema[tree.column].type is assignment.column.type
            ):
                found[assignment.column.name] = origins[tree.column]
        origins, schema = found, stage.schema
    return {source: name for name, source in reversed(origins.items())}


def _note_of(source: str | Sequence[str]) -> PreparedTable | None:
    """The note of the rows; None unless all of them are of one preparation."""
    names = [source] if isinstance(source, str) else list(source)
    notes = [find_prepared(name) for name in names]
    first = notes[0] if notes else None
    if first is None or any(note is None or note.digest != first.digest for note in notes):
        return None
    return first
