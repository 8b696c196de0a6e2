"""Row-wise steps compiled for columns in memory: what the prediction server and Beam's workers run."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from penstock.data.columns import Array, ColumnBatch
from penstock.data.expressions.evaluation import Evaluator, broadcast, evaluator
from penstock.data.expressions.parser import parse
from penstock.data.expressions.tree import Reference
from penstock.data.expressions.typing import typed
from penstock.data.recipe.projection import Projection, kept
from penstock.data.schema import Column, Schema
from penstock.errors import BundleError, DataError, PenstockError, did_you_mean

__all__ = ["RowProgram"]

_FORMAT_VERSION = 1


class RowProgram:
    """Turns batches of `input_schema` into batches of `output_schema`.

    `keeps_rows` says whether a batch comes out with as many rows as went in, in the same order; a program in front of
    a served model always does. Immutable; equal if its JSON is.
    """

    def __init__(self, input_schema: Schema, stages: Iterable[Projection] = ()) -> None:
        """Raises ExpressionError if a stage does not fit the columns before it."""
        self.input_schema = input_schema
        self.stages = tuple(stages)
        self.output_schema = self.stages[-1].schema if self.stages else input_schema
        self.keeps_rows = all(stage.keep is None for stage in self.stages)
        schemas = [input_schema, *(stage.schema for stage in self.stages)]
        ready = [_Stage(stage, schema) for stage, schema in zip(self.stages, schemas[:-1], strict=True)]
        self._stages = [stage for stage in ready if stage.changes]
        self._inputs, self._outputs = self.input_schema.names, self.output_schema.names

    def apply(self, batch: ColumnBatch) -> ColumnBatch:
        """The rows after all steps. batch: its columns include those of `input_schema`, of the same types."""
        columns: dict[str, Array] = {name: batch.arrays[name] for name in self._inputs}
        rows = batch.rows
        with np.errstate(all="ignore"):
            for stage in self._stages:
                columns, rows = stage.run(columns, rows)
        return ColumnBatch(self.output_schema, {name: columns[name] for name in self._outputs})

    def then(self, following: "RowProgram") -> "RowProgram":
        """This program, then the other one, whose input columns must come out of this one."""
        missing = [name for name in following.input_schema.names if name not in self.output_schema]
        if missing:
            raise DataError(
                f"the steps yield {', '.join(self.output_schema.names)}, but what follows takes {missing[0]!r}"
                f"{did_you_mean(missing[0], self.output_schema.names)}"
            )
        taken = Projection(kept(self.output_schema.select(following.input_schema.names)))
        return RowProgram(self.input_schema, (*self.stages, taken, *following.stages))

    def narrowed(self, outputs: Sequence[str]) -> "RowProgram":
        """The same program for these output columns only; inputs and steps that they do not need fall away."""
        stages: list[Projection] = []
        needed: Sequence[str] = outputs
        for stage in reversed(self.stages):
            stages.insert(0, stage.narrowed(needed))
            needed = stage.needs(needed)
        inputs = tuple(name for name in self.input_schema.names if name in needed)
        return RowProgram(self.input_schema.select(inputs), stages)

    def to_json(self) -> bytes:
        """The content of a bundle's `recipe.json`."""
        document = _Document(version=_FORMAT_VERSION, input=self.input_schema.columns, stages=self.stages)
        return msgspec.json.format(msgspec.json.encode(document), indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> "RowProgram":
        """The program that `to_json` wrote. Raises BundleError if it is of another format or altered."""
        try:
            document = msgspec.json.decode(text, type=_Document)
        except msgspec.DecodeError as error:
            raise BundleError(f"recipe.json cannot be read: {error}") from error
        if document.version != _FORMAT_VERSION:
            raise BundleError(f"recipe.json is of format {document.version}; this release reads {_FORMAT_VERSION}")
        try:
            return cls(Schema(document.input), document.stages)
        except PenstockError as error:
            raise BundleError(f"recipe.json holds a step that does not fit its columns: {error}") from error

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RowProgram):
            return NotImplemented
        return self.input_schema == other.input_schema and self.stages == other.stages

    def __hash__(self) -> int:
        return hash((self.input_schema.names, self.output_schema.names))

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        """Beam ships programs to its workers in this form."""
        return RowProgram.from_json, (self.to_json(),)


class _Document(msgspec.Struct, frozen=True):
    version: int
    input: tuple[Column, ...]
    stages: tuple[Projection, ...]


class _Stage:
    """A projection with its expressions typed and ready to run.

    Columns that it leaves out stay beside the others: nothing reads them, and taking them away costs time a row.
    """

    def __init__(self, projection: Projection, schema: Schema) -> None:
        self._keep = None if projection.keep is None else evaluator(typed(parse(projection.keep), schema))
        self._columns: list[tuple[str, str | Evaluator]] = []
        for assignment in projection.columns:
            tree = assignment.expression
            name = assignment.column.name
            if isinstance(tree, Reference) and schema[tree.column].type is assignment.column.type:
                if tree.column != name:
                    self._columns.append((name, tree.column))
                continue
            expression = typed(tree, schema, text=assignment.value)
            if expression.type is not assignment.column.type:
                raise DataError(
                    f"column {name!r} is said to be {assignment.column.type}, but {assignment.value} is "
                    f"{expression.type}"
                )
            self._columns.append((name, evaluator(expression)))

    @property
    def changes(self) -> bool:
        """Whether there is anything to do but to leave columns out."""
        return bool(self._columns) or self._keep is not None

    def run(self, columns: dict[str, Array], rows: int) -> tuple[dict[str, Array], int]:
        if self._keep is not None:
            chosen = broadcast(self._keep(columns), rows) == 1.0
            columns = {name: array[chosen] for name, array in columns.items()}
            rows = int(np.count_nonzero(chosen))
        computed = {
            name: columns[source] if isinstance(source, str) else broadcast(source(columns), rows)
            for name, source in self._columns
        }
        return {**columns, **computed}, rows
