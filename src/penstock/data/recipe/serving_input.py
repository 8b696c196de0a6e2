"""What callers send where it is not what the model was trained on: compiled to a row program in front of the model.

Two ways to say it. A serving function, as tf.estimator has it, run once on placeholders:

>>> def serving_input_fn():
...     rooms = placeholder("float")
...     return ServingInputReceiver({"RM": rooms / 10}, {"ROOMS": rooms})

and the `serving:` section of an experiment: `{rename: {rooms: RM}, rescale: {RM: {multiply: 0.1}}}`.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from penstock.data.documents import explain
from penstock.data.expressions.parser import parse
from penstock.data.expressions.symbols import Symbol, column, data_type_of, expression_of
from penstock.data.expressions.tree import Expression, Literal, Reference, references, substitute
from penstock.data.recipe.projection import Assignment, Projection, computed
from penstock.data.recipe.row_program import RowProgram
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import ConfigError, PenstockError, UsageError, did_you_mean

__all__ = [
    "Placeholder",
    "Rescale",
    "ServingInputReceiver",
    "ServingSection",
    "build_raw_serving_input_receiver_fn",
    "placeholder",
    "program_of_function",
    "program_of_section",
]


class Placeholder(Symbol):
    """A value that a caller will send. Its name is the key it has in `receiver_tensors`."""

    __slots__ = ("data_type",)
    _numbers = itertools.count()

    def __init__(self, data_type: DataType) -> None:
        # No column of a table has such a name, so placeholders never meet one.
        super().__init__(Reference(f"\ue001{next(self._numbers)}"))
        self.data_type = data_type


def placeholder(dtype: object = "float", shape: object = None, name: str | None = None) -> Placeholder:  # noqa: ARG001
    """A value of this type that a caller will send, for serving functions.

    dtype: a DataType or its name, a Python type, or the name of a NumPy type ("float32"). shape and name: taken for
    compatibility; one value a row is sent, under its key in `receiver_tensors`.
    """
    return Placeholder(data_type_of(dtype))


@dataclass(frozen=True)
class ServingInputReceiver:
    """What a serving function returns.

    features: the model's columns as computed from placeholders; columns the model does not take are left out.
    receiver_tensors: the placeholders by the name callers send them under; one alone is named "input".
    """

    features: Mapping[str, Symbol]
    receiver_tensors: Mapping[str, Placeholder] | Placeholder
    receiver_tensors_alternatives: None = None


def build_raw_serving_input_receiver_fn(
    features: Mapping[str, Any],
    default_batch_size: int | None = None,  # noqa: ARG001
) -> Callable[[], ServingInputReceiver]:
    """A serving function for callers who send these columns as the model takes them.

    features: by name a placeholder, a type as `placeholder` takes it, a Column, or an array of such values.
    default_batch_size: taken for compatibility; any number of rows may be sent.
    """
    receivers = {name: _placeholder_for(name, value) for name, value in features.items()}
    return lambda: ServingInputReceiver(dict(receivers), dict(receivers))


def program_of_function(function: Callable[[], object], model_inputs: Schema) -> RowProgram:
    """The row program that a serving function describes: from its `receiver_tensors` to the model's inputs.

    A caller's column may be missing where every model input made from it may be. One that is handed to the model as it
    is takes over the model column's formats, zone and unit.
    Raises UsageError for a feature that is missing, not computed from placeholders, or of a type that the model does
    not take; ExpressionError for Python that cannot be translated.
    """
    receiver = function()
    if not isinstance(receiver, ServingInputReceiver):
        raise UsageError(f"the serving function returned {receiver!r}; expected a ServingInputReceiver")
    given = receiver.receiver_tensors
    placeholders = {"input": given} if isinstance(given, Placeholder) else dict(given)
    sent: dict[str, DataType] = {}
    names: dict[str, Expression] = {}
    for name, item in placeholders.items():
        if not isinstance(item, Placeholder):
            raise UsageError(f"receiver_tensors[{name!r}] is {item!r}; expected a placeholder")
        names[references(item.expression)[0]] = Reference(name)
        sent[name] = item.data_type
    features: dict[str, Expression] = {}
    for name in model_inputs.names:
        if name not in receiver.features:
            raise UsageError(
                f"the serving function returns no feature {name!r}, which the model takes"
                f"{did_you_mean(name, receiver.features)}"
            )
        tree = expression_of(receiver.features[name])
        strange = next((read for read in references(tree) if read not in names), None)
        if strange is not None:
            raise UsageError(f"feature {name!r} is computed from a placeholder that is not in receiver_tensors")
        features[name] = substitute(tree, names)
    return _program(features, sent, model_inputs, UsageError)


class Rescale(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model's value is `sent * multiply + add`."""

    multiply: float = 1.0
    add: float = 0.0


class ServingSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `serving:` section of an experiment.

    rename: the caller's name of a column to the model's. rescale: by the model's name, how the sent number is scaled.
    derive: by the model's name, an expression over the caller's columns.
    inputs: types of the caller's columns that `derive` reads and that are no columns of the model.
    Columns that are not named are sent as the model takes them.
    """

    inputs: dict[str, DataType] = {}
    rename: dict[str, str] = {}
    rescale: dict[str, Rescale] = {}
    derive: dict[str, str] = {}


def serving_section(section: object) -> ServingSection:
    """The section as read from YAML, its names checked. Raises ConfigError."""
    if isinstance(section, ServingSection):
        return section
    try:
        return msgspec.convert(section, ServingSection)
    except msgspec.ValidationError as error:
        raise ConfigError(f"serving: {explain(error, ServingSection, whole='the section')}") from None


def program_of_section(section: object, model_inputs: Schema) -> RowProgram:
    """The row program that a `serving:` section describes: from what callers send to the model's inputs.

    section: as read from YAML, or a ServingSection. Raises ConfigError naming what does not fit.
    """
    section = serving_section(section)
    for part, names in (("rename", section.rename.values()), ("rescale", section.rescale), ("derive", section.derive)):
        _check_targets(part, list(names), model_inputs)
    callers_name = {target: name for name, target in section.rename.items()}
    sent = {name: model_inputs[target].type for name, target in section.rename.items()} | section.inputs
    features: dict[str, Expression] = {}
    for item in model_inputs:
        name = item.name
        if name in section.derive:
            if name in callers_name or name in section.rescale:
                raise ConfigError(
                    f"serving: column {name!r} is derived and also renamed or rescaled; derive says it all"
                )
            tree = parse(section.derive[name])
        else:
            source = callers_name.get(name, name)
            if source in section.rename and section.rename[source] != name:
                raise ConfigError(
                    f"serving: callers' {source!r} becomes {section.rename[source]!r}, so nothing is left for the "
                    f"model's {name!r}; rename or derive it as well"
                )
            tree = _rescaled(source, section.rescale.get(name))
            if name in section.rescale and item.type is DataType.INTEGER and source not in section.inputs:
                # In another unit a whole number is rarely whole: 296 dollars are 2.96 hundred.
                sent[source] = DataType.FLOAT
        features[name] = tree
        for read in references(tree):
            if read not in sent:
                sent[read] = _type_of(read, name, model_inputs)
    return _program(features, sent, model_inputs, ConfigError)


def _program(
    features: Mapping[str, Expression],
    sent: Mapping[str, DataType],
    model_inputs: Schema,
    failure: type[PenstockError],
) -> RowProgram:
    columns = [_sent_column(name, sent[name], features, model_inputs) for name in sent]
    schema = Schema(tuple(item for item in columns if item is not None))
    assignments = []
    for target in model_inputs:
        result = computed(target.name, features[target.name], schema)
        if not _fits(result.column.type, target.type):
            raise failure(
                f"column {target.name!r} would be {result.column.type}, computed as {result.value}; the model takes "
                f"{target.type}"
            )
        # Numbers are alike in the graph, so a caller's float stands for a whole number as tf.float32 did in 2017.
        assignments.append(Assignment(msgspec.structs.replace(target, type=result.column.type), result.value))
    return RowProgram(schema, (Projection(tuple(assignments)),))


def _sent_column(
    name: str, data_type: DataType, features: Mapping[str, Expression], model_inputs: Schema
) -> Column | None:
    """A column of the caller's, None if no feature reads it."""
    targets = [target for target in model_inputs if name in references(features[target.name])]
    if not targets:
        return None
    is_nullable = all(target.nullable for target in targets)
    for target in targets:
        if features[target.name] == Reference(name) and _fits(data_type, target.type):
            return msgspec.structs.replace(target, name=name, type=data_type, nullable=is_nullable)
    return Column(name=name, type=data_type, nullable=is_nullable)


def _fits(computed_type: DataType, model_type: DataType) -> bool:
    return computed_type is model_type or {computed_type, model_type} == {DataType.INTEGER, DataType.FLOAT}


def _rescaled(source: str, scale: Rescale | None) -> Expression:
    symbol = column(source)
    if scale is None:
        return symbol.expression
    if scale.multiply != 1.0:
        symbol = symbol * scale.multiply
    if scale.add != 0.0:
        symbol = symbol + scale.add
    return symbol.expression


def _type_of(read: str, derived: str, model_inputs: Schema) -> DataType:
    if read in model_inputs:
        return model_inputs[read].type
    raise ConfigError(
        f"serving: column {derived!r} is derived from {read!r}, which is no column of the model"
        f"{did_you_mean(read, model_inputs.names)}; name its type under 'inputs', such as inputs: {{{read}: float}}"
    )


def _check_targets(part: str, names: list[str], model_inputs: Schema) -> None:
    for name in names:
        if name not in model_inputs:
            known = ", ".join(model_inputs.names)
            raise ConfigError(
                f"serving: {part} names {name!r}, but the model takes {known}{did_you_mean(name, model_inputs.names)}"
            )
        if names.count(name) > 1:
            raise ConfigError(f"serving: {part} makes column {name!r} twice")


def _placeholder_for(name: str, value: object) -> Placeholder:
    match value:
        case Placeholder():
            return value
        case Column():
            return Placeholder(value.type)
        case np.ndarray() | list() | tuple():
            kind = np.asarray(value).dtype
            return Placeholder(DataType.STRING if kind.kind in "OUS" else data_type_of(kind))
        case Literal() | Symbol():
            raise UsageError(f"feature {name!r} is {value!r}; expected a placeholder or a type")
        case _:
            return placeholder(value)
