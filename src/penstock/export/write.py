"""Writes a trained model as a bundle: graph, samples, profile, native weights; published once parity is proven."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import msgspec

from penstock.bundle.folder import BundleWriter
from penstock.bundle.manifest import FORMAT_VERSION, BundleKind, Label, Manifest, Signature, Task
from penstock.data.columns import ColumnBatch
from penstock.data.profile import TableProfile
from penstock.data.schema import Column, DataType
from penstock.errors import ExportError
from penstock.export.instances import instances_of
from penstock.export.model import ServableModel, assemble
from penstock.export.parity import check_parity
from penstock.runtime.model import GRAPH_NAME, RECIPE_NAME, RowTransform, load_model
from penstock.version import __version__

__all__ = ["PARITY_NAME", "PROFILE_NAME", "SAMPLES_NAME", "BundleFacts", "ServingRecipe", "write_bundle"]

PARITY_NAME = "parity.json"
PROFILE_NAME = "profile.json"
SAMPLES_NAME = "samples.jsonl"

_SAMPLES = 16
_PHOTOS = 2
_DISTRIBUTIONS = ("keras", "jax", "lightgbm", "numpy", "onnx", "onnxruntime", "tensorflow", "torch")


@dataclass(frozen=True, kw_only=True)
class BundleFacts:
    """What `bundle.json` says besides what the graph itself tells; see `penstock.bundle.manifest.Manifest`.

    ignored: columns that callers may send and the model does not use: the label, and training columns left out.
    """

    task: Task
    estimator: str
    label: Label | None = None
    classes: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    data_digest: str | None = None
    global_step: int | None = None


class ServingRecipe(RowTransform, Protocol):
    """Row-wise steps in front of the model that can be kept as `recipe.json`."""

    def to_json(self) -> bytes: ...


def write_bundle(
    model: ServableModel,
    *,
    uri: str,
    facts: BundleFacts,
    samples: ColumnBatch,
    recipe: ServingRecipe | None = None,
    sent: ColumnBatch | None = None,
    profile: bytes | None = None,
    trainer_files: Mapping[str, bytes | Path] | None = None,
) -> Manifest:
    """Writes the bundle to the folder or URI `uri`, which appears whole or not at all; returns its manifest.

    samples: real raw rows of the model's input columns, some hundred of them: the parity check compares the model's own
        answers on them with the bundle's, and a few become `samples.jsonl`.
    recipe: row-wise steps in front of the model; callers then send its input columns. sent: real rows of these.
    profile: `profile.json`. trainer_files: by path under `trainer/`, their bytes or the file that holds them.
    Raises ParityError where trainer and bundle disagree, ExportError where the graph cannot be made, DataError where
    the profile cannot be read back, AlreadyExistsError where something is at `uri`.
    """
    graph, outputs = assemble(model)
    proto = graph.build()
    inputs = model.graph_inputs if recipe is None else _recipe_inputs(recipe, model)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        kind=BundleKind.TRAINED,
        task=facts.task,
        signature=Signature(
            inputs=inputs,
            outputs=outputs,
            ignored=tuple(name for name in facts.ignored if name not in {column.name for column in inputs}),
        ),
        graph_inputs=model.graph_inputs,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        label=facts.label,
        classes=facts.classes,
        metrics=dict(facts.metrics),
        estimator=facts.estimator,
        parameters=dict(facts.parameters),
        versions=_versions(),
        operator_domains=graph.operator_domains,
        data_digest=facts.data_digest,
        global_step=facts.global_step,
    )
    with BundleWriter(uri) as writer:
        writer.write(GRAPH_NAME, proto.SerializeToString(deterministic=True))
        if recipe is not None:
            writer.write(RECIPE_NAME, recipe.to_json())
        if profile is not None:
            TableProfile.from_json(profile)
            writer.write(PROFILE_NAME, profile)
        for name, content in (trainer_files or {}).items():
            writer.write(f"trainer/{name}", content if isinstance(content, bytes) else content.read_bytes())
        writer.stage(manifest)
        report, rows = check_parity(model, load_model(str(writer.folder)), samples=samples, recipe=recipe, sent=sent)
        writer.write(PARITY_NAME, msgspec.json.format(msgspec.json.encode(report), indent=2))
        shown = _PHOTOS if any(column.type is DataType.IMAGE for column in inputs) else _SAMPLES
        lines = [msgspec.json.encode(instance) for instance in instances_of(rows.take(slice(0, shown)))]
        writer.write(SAMPLES_NAME, b"\n".join(lines) + b"\n")
        return writer.publish(manifest)


def _recipe_inputs(recipe: ServingRecipe, model: ServableModel) -> tuple[Column, ...]:
    for column in model.graph_inputs:
        if column.name not in recipe.output_schema:
            yielded = ", ".join(recipe.output_schema.names)
            raise ExportError(
                f"the serving input does not yield {column.name!r}, which the model reads; it yields {yielded}"
            )
    return recipe.input_schema.columns


def _versions() -> dict[str, str]:
    """Of the distributions that are loaded here, and of Python."""
    found = {"penstock": __version__, "python": ".".join(map(str, sys.version_info[:3]))}
    for name in _DISTRIBUTIONS:
        if name in sys.modules:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return found
