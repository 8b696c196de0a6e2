"""Members on features of their own, as one body on the features of all: a weighted mean, in arrays and in the graph."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.estimators.auto.link import Link, emit_logits, logits_of
from penstock.estimators.fitted_model import Body
from penstock.estimators.setup import AnyHead
from penstock.export.graph import GraphBuilder
from penstock.features.fitted import FittedFeatures

__all__ = ["Member", "MixtureBody", "mix"]


@dataclass(frozen=True)
class Member:
    """One trained body with the features it reads. weights of all members add up to 1."""

    features: FittedFeatures
    body: Body
    link: Link
    weight: float


@dataclass(frozen=True)
class MixtureBody:
    """members: with, for each, the names under which its blocks are found among those of all."""

    members: tuple[tuple[Member, Mapping[str, str]], ...]
    head: AnyHead
    files: Mapping[str, bytes] = field(default_factory=dict)

    def outputs(self, encoded: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        total: Any = 0.0
        for member, names in self.members:
            own = {name: encoded[known] for name, known in names.items()}
            total = total + member.weight * member.link.apply(member.body.outputs(own)).astype(np.float64)
        return logits_of(total, self.head)

    def emit(self, graph: GraphBuilder, blocks: Mapping[str, str]) -> str:
        terms = []
        for member, names in self.members:
            outputs = member.body.emit(graph, {name: blocks[known] for name, known in names.items()})
            weight = graph.constant(member.weight, np.float32)
            terms.append(graph.node("Mul", [member.link.emit(graph, outputs), weight], hint="member"))
        total = terms[0] if len(terms) == 1 else graph.node("Sum", terms, hint="ensemble")
        return emit_logits(graph, total, self.head)

    def trainer_files(self) -> dict[str, bytes]:
        return dict(self.files)


def mix(members: Sequence[Member], head: AnyHead, *, files: Mapping[str, bytes]) -> tuple[FittedFeatures, MixtureBody]:
    """The features of all members, each computed once, and the body on them. files: for the bundle's `trainer/`."""
    columns: dict[bytes, Any] = {}
    named_of: dict[int, Mapping[str, str]] = {}
    for features in {id(member.features): member.features for member in members}.values():
        names = {}
        for column in features.columns:
            # A column is the same where its numbers are; compared as bytes, in which NaN is equal to itself.
            key = msgspec.msgpack.encode(msgspec.structs.replace(column, name=""))
            if key not in columns:
                taken = {known.name for known in columns.values()}
                name = next(name for name in _names(column.name) if name not in taken)
                columns[key] = msgspec.structs.replace(column, name=name)
            names[column.name] = columns[key].name
        named_of[id(features)] = names
    named = tuple((member, named_of[id(member.features)]) for member in members)
    together = FittedFeatures(raw_schema=members[0].features.raw_schema, columns=tuple(columns.values()))
    return together, MixtureBody(named, head, files)


def _names(name: str) -> Iterator[str]:
    yield name
    for number in count(2):
        yield f"{name}_{number}"


def _proves_protocol(body: MixtureBody) -> Body:
    return body
