"""The `features:` section of an experiment, as feature columns: how each column of the table is treated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from penstock.data.schema import DataType, Schema
from penstock.errors import ConfigError, PenstockError, did_you_mean
from penstock.features.bucketized import BucketizedColumn
from penstock.features.categorical import EmbeddingColumn, IndicatorColumn
from penstock.features.column import FeatureColumn
from penstock.features.hashed import HashBucketColumn
from penstock.features.numeric import NumericColumn, Scaling
from penstock.features.vocabulary import VocabularyColumn

__all__ = ["AUTO", "DROP", "TREATMENTS", "Treatment", "explicit_column", "parse_treatments"]

AUTO = "auto"
DROP = "drop"

_DEFAULT_HASH_BUCKETS = 1000
_DEFAULT_DIMENSION = 8


@dataclass(frozen=True)
class Treatment:
    """How one column is treated: the name of the treatment and its options."""

    column: str
    kind: str
    options: dict[str, Any]


def parse_treatments(section: Mapping[str, Any], schema: Schema) -> list[Treatment]:
    """The treatments in a `features:` section, each checked against the table; dropped columns left out.

    An entry is a name (`RM: numeric`) or a mapping with options (`RAD: {as: embedding, dimension: 4}`).
    Raises ConfigError naming the column.
    """
    treatments = []
    dropped = []
    for column, entry in section.items():
        if column not in schema:
            close = did_you_mean(str(column), schema.names)
            raise ConfigError(f"features names {column!r}, which the table does not have{close}")
        options = dict(entry) if isinstance(entry, Mapping) else {"as": AUTO if entry is None else entry}
        kind = options.pop("as", AUTO)
        if kind not in TREATMENTS and kind not in (AUTO, DROP):
            known = [AUTO, *TREATMENTS, DROP]
            close = did_you_mean(str(kind), known)
            raise ConfigError(f"features: {column!r} is to be treated as {kind!r}; expected {', '.join(known)}{close}")
        if options and kind in (AUTO, DROP):
            raise ConfigError(
                f"features: {column!r} has options {', '.join(map(str, options))}, which go with a "
                f"treatment named by 'as': {{as: numeric, …}}"
            )
        if kind == DROP:
            dropped.append(str(column))
        else:
            treatments.append(Treatment(column, kind, options))
    if not treatments:
        told = f" ({', '.join(map(repr, dropped))} dropped)" if dropped else ""
        raise ConfigError(f"features leaves no column to learn from{told}; name at least one that is not dropped")
    return treatments


def explicit_column(treatment: Treatment, schema: Schema) -> FeatureColumn:
    """The feature column of a treatment that is not "auto". Raises ConfigError naming column and option."""
    make = TREATMENTS[treatment.kind]
    try:
        return make(treatment.column, schema[treatment.column].type, dict(treatment.options))
    except (TypeError, ValueError, PenstockError) as error:
        raise ConfigError(f"features: {treatment.column!r} as {treatment.kind}: {error}") from None


def _numeric(key: str, data_type: DataType, options: dict[str, Any]) -> FeatureColumn:
    if data_type is DataType.STRING:
        raise ValueError("the column holds text; expected numbers")
    return NumericColumn(key=key, **_only(options, {"default_value": float, "scaling": _scaling}))


def _scaling(value: Any) -> Any:
    known = get_args(Scaling)
    if value not in known:
        raise ValueError(f"scaling is {value!r}; expected {' or '.join(known)}{did_you_mean(str(value), known)}")
    return value


def _categorical(key: str, data_type: DataType, options: dict[str, Any]) -> FeatureColumn:  # noqa: ARG001
    return IndicatorColumn(categorical_column=_vocabulary(key, options))


def _embedding(key: str, data_type: DataType, options: dict[str, Any]) -> FeatureColumn:  # noqa: ARG001
    dimension = int(options.pop("dimension", _DEFAULT_DIMENSION))
    return EmbeddingColumn(categorical_column=_vocabulary(key, options, "dimension"), dimension=dimension)


def _hashed(key: str, data_type: DataType, options: dict[str, Any]) -> FeatureColumn:  # noqa: ARG001
    found = _only(options, {"buckets": int, "dimension": int})
    column = HashBucketColumn(key=key, hash_bucket_size=found.get("buckets", _DEFAULT_HASH_BUCKETS))
    return EmbeddingColumn(categorical_column=column, dimension=found.get("dimension", _DEFAULT_DIMENSION))


def _bucketized(key: str, data_type: DataType, options: dict[str, Any]) -> FeatureColumn:
    boundaries = options.pop("boundaries", None)
    for name in options:
        known = ["boundaries", "default_value", "scaling"]
        if name not in known:
            raise ValueError(f"there is no option {name!r}; there is {', '.join(known)}{did_you_mean(name, known)}")
    if not isinstance(boundaries, list) or not boundaries:
        raise ValueError("needs boundaries, a rising list of numbers")
    source = _numeric(key, data_type, options)
    assert isinstance(source, NumericColumn)
    return BucketizedColumn(source=source, boundaries=tuple(float(value) for value in boundaries))


def _vocabulary(key: str, options: dict[str, Any], *extra: str) -> VocabularyColumn:
    """extra: options of the treatment besides those of the vocabulary, taken already."""
    known = {"vocabulary", "min_count", "max_size", *extra}
    _only({name: value for name, value in options.items() if name not in known}, dict.fromkeys(sorted(known), str))

    def words(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError("vocabulary is to be a list")
        return tuple(value)

    return VocabularyColumn(key=key, **_only(options, {"vocabulary": words, "min_count": int, "max_size": int}))


TREATMENTS: dict[str, Callable[[str, DataType, dict[str, Any]], FeatureColumn]] = {
    "numeric": _numeric,
    "categorical": _categorical,
    "embedding": _embedding,
    "hashed": _hashed,
    "bucketized": _bucketized,
}


def _only(options: Mapping[str, Any], known: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """The options, each converted. Raises ValueError for one that is not known."""
    for name in options:
        if name not in known:
            raise ValueError(f"there is no option {name!r}; there is {', '.join(known)}{did_you_mean(name, known)}")
    return {name: known[name](value) for name, value in options.items()}
