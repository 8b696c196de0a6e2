"""A bundle as a callable: decodes instances, applies the recipe, runs the graph. Knows nothing of HTTP or versions."""

import hashlib
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Protocol

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from penstock.bundle.folder import read_manifest
from penstock.bundle.manifest import Manifest
from penstock.data.columns import ColumnBatch, dtype_of, missing_value
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import BundleError
from penstock.runtime.instances import InstanceDecoder
from penstock.runtime.packing import pack_graph, tap_graph
from penstock.runtime.rows import Row, RowReader
from penstock.store import blobs

__all__ = [
    "GRAPH_NAME",
    "PROFILE_NAME",
    "RECIPE_NAME",
    "SAMPLES_NAME",
    "LoadedModel",
    "RowTransform",
    "load_model",
    "load_tapped",
    "read_file",
    "read_samples",
]

GRAPH_NAME = "model.onnx"
RECIPE_NAME = "recipe.json"
SAMPLES_NAME = "samples.jsonl"
PROFILE_NAME = "profile.json"

_SAMPLES = 3

_ELEMENT_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    8: np.dtype(object),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
}


class RowTransform(Protocol):
    """Row-wise steps in front of the model: what callers send to what the graph takes."""

    @property
    def input_schema(self) -> Schema: ...

    @property
    def output_schema(self) -> Schema: ...

    def apply(self, batch: ColumnBatch) -> ColumnBatch: ...


class LoadedModel:
    """A bundle ready to predict. Thread-safe: ONNX Runtime sessions are, and nothing else here changes.

    row_cost_s: what predicting one row took when it was loaded.
    samples: a few real instances out of the bundle, for examples.
    """

    def __init__(
        self,
        uri: str,
        manifest: Manifest,
        *,
        graph: bytes,
        recipe: RowTransform | None = None,
        samples: Sequence[dict[str, Any]] = (),
        threads: int = 1,
        taps: tuple[str, ...] = (),
    ) -> None:
        """taps: outputs of the graph that are not the signature's, to be answered as well."""
        self.uri = uri
        self.manifest = manifest
        self.decoder = InstanceDecoder(manifest.signature)
        self.rows = RowReader(manifest.signature)
        self.samples = tuple(samples)
        self._recipe = recipe
        packed = pack_graph(graph, [column.name for column in manifest.graph_inputs])
        self._packs = [(pack.tensor, pack.names, _dtype(uri, pack.tensor, pack.elem_type)) for pack in packed.packs]
        self._single = [(item.name, item.rank, _dtype(uri, item.name, item.elem_type)) for item in packed.single]
        self._session = _session(uri, packed.model, threads)
        self.output_names = (*(output.name for output in manifest.signature.outputs), *taps)
        declared = {output.name for output in self._session.get_outputs()}
        for name in self.output_names:
            if name not in declared:
                raise BundleError(f"{GRAPH_NAME} of {uri} has no output {name!r}, which bundle.json names")
        self._matrix = self._matrix_input()
        self.row_cost_s = self._warm_up()

    def decode(self, instances: Sequence[object]) -> ColumnBatch:
        """Row-form instances to a batch. Raises InstanceError naming the index of the instance and the column."""
        return self.decoder.rows(instances)

    def decode_columns(self, inputs: object) -> ColumnBatch:
        """Column-form inputs (an object of lists) to a batch. Raises InstanceError naming the column."""
        return self.decoder.columns(inputs)

    def predict(self, batch: ColumnBatch) -> dict[str, NDArray[Any]]:
        """Output name to array, one row a row of the batch, in the order of the signature's outputs.

        batch: columns of `manifest.signature.inputs`. Raises BundleError when the graph fails.
        """
        if self._recipe is not None:
            batch = self._recipe.apply(batch)
        feed: dict[str, NDArray[Any]] = {
            tensor: np.stack([batch.arrays[name] for name in names], axis=1).astype(dtype, copy=False)
            for tensor, names, dtype in self._packs
        }
        for name, rank, dtype in self._single:
            array = batch.arrays[name].astype(dtype, copy=False)
            feed[name] = array[:, None] if rank == 2 and array.ndim == 1 else array
        return self._run(feed)

    @property
    def takes_matrix(self) -> bool:
        """Whether rows are numbers only, which the graph takes side by side."""
        return self._matrix is not None

    def predict_rows(self, rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
        """`predict` of rows that `self.rows` has read."""
        if self._matrix is None:
            return self.predict(self.rows.batch(rows))
        return self.predict_matrix(self.rows.matrix(rows))

    def predict_matrix(self, matrix: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """`predict` of numbers `[rows, columns]` in the order of `self.rows.names`, where the model `takes_matrix`."""
        assert self._matrix is not None
        return self._run({self._matrix: matrix})

    def _run(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            outputs = self._session.run(self.output_names, feed)
        except Exception as error:
            raise BundleError(f"the graph of {self.uri} failed on a well-formed request: {error}") from error
        return dict(zip(self.output_names, outputs, strict=True))

    def _matrix_input(self) -> str | None:
        """The one input that takes a whole row of numbers, where the graph has no other."""
        inputs = [(tensor, names, dtype) for tensor, names, dtype in self._packs]
        inputs += [(name, (name,), dtype) for name, rank, dtype in self._single if rank == 2]
        if self._recipe is not None or len(inputs) != 1 or (self._packs and self._single):
            return None
        tensor, names, dtype = inputs[0]
        return tensor if names == self.rows.names and dtype == np.float64 else None

    def _warm_up(self) -> float:
        """Predicts one row twice, so that the first caller does not pay for allocations. Seconds the second took."""
        schema = Schema(self.manifest.signature.inputs)
        batch = ColumnBatch(schema, {column.name: _neutral(column) for column in schema})
        outputs = self.predict(batch)
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) != 1:
                raise BundleError(
                    f"output {name!r} of {GRAPH_NAME} in {self.uri} has the shape {list(array.shape)} for one row; "
                    "expected the rows as its first dimension"
                )
        started = perf_counter()
        self.predict(batch)
        return perf_counter() - started


def load_model(uri: str, *, threads: int = 1) -> LoadedModel:
    """The model of the bundle at `uri` (a folder or an fsspec URI), its files checked against their digests.

    threads: ONNX Runtime's threads within one operator; one is fastest for small models.
    Raises NotFoundError when there is no bundle, BundleError when it is incomplete, altered or cannot be run here.
    """
    manifest = read_manifest(uri)
    graph = read_file(uri, manifest, GRAPH_NAME)
    recipe = None
    if RECIPE_NAME in manifest.files:
        recipe = _recipe(uri, manifest, read_file(uri, manifest, RECIPE_NAME))
    samples = _samples(uri, manifest)
    return LoadedModel(uri, manifest, graph=graph, recipe=recipe, samples=samples, threads=threads)


def load_tapped(uri: str, operator: str) -> tuple[LoadedModel, str] | None:
    """The model, which answers besides its outputs what goes into its only node of this operator, and that one's name.

    None where there is no such node, or several. Raises as `load_model`.
    """
    manifest = read_manifest(uri)
    tapped = tap_graph(read_file(uri, manifest, GRAPH_NAME), operator)
    if tapped is None:
        return None
    graph, name = tapped
    recipe = None
    if RECIPE_NAME in manifest.files:
        recipe = _recipe(uri, manifest, read_file(uri, manifest, RECIPE_NAME))
    return LoadedModel(uri, manifest, graph=graph, recipe=recipe, taps=(name,)), name


def read_samples(uri: str, manifest: Manifest, *, limit: int) -> list[dict[str, Any]]:
    """The first real rows that the bundle keeps, at most so many. Raises BundleError."""
    return _samples(uri, manifest, limit=limit)


def read_file(uri: str, manifest: Manifest, name: str) -> bytes:
    """A file of a bundle, checked against its digest. Raises BundleError when it is not listed or was altered."""
    if name not in manifest.files:
        raise BundleError(f"the bundle {uri} lists no {name}; expected one, with its digest")
    content = blobs.read_bytes(uri, name)
    found = hashlib.sha256(content).hexdigest()
    if found != manifest.files[name]:
        raise BundleError(
            f"the bundle {uri} was altered: {name} has the SHA-256 {found[:12]}…, and bundle.json says "
            f"{manifest.files[name][:12]}…; export the model again"
        )
    return content


def _recipe(uri: str, manifest: Manifest, content: bytes) -> RowTransform:
    # Here, because most bundles have no recipe and its expressions take a tenth of a second to import.
    from penstock.data.recipe.row_program import RowProgram

    program = RowProgram.from_json(content)
    if not program.keeps_rows:
        raise BundleError(f"{RECIPE_NAME} of {uri} drops rows; in front of a model every row needs an answer")
    if program.input_schema.columns != manifest.signature.inputs:
        raise BundleError(f"{RECIPE_NAME} of {uri} does not take the inputs that bundle.json names")
    missing = [column.name for column in manifest.graph_inputs if column.name not in program.output_schema]
    if missing:
        raise BundleError(f"{RECIPE_NAME} of {uri} does not yield {missing[0]!r}, which {GRAPH_NAME} takes")
    return program


def _samples(uri: str, manifest: Manifest, *, limit: int = _SAMPLES) -> list[dict[str, Any]]:
    if SAMPLES_NAME not in manifest.files:
        return []
    lines = read_file(uri, manifest, SAMPLES_NAME).splitlines()[:limit]
    try:
        return [msgspec.json.decode(line, type=dict[str, Any]) for line in lines]
    except msgspec.MsgspecError as error:
        raise BundleError(f"{SAMPLES_NAME} of {uri} does not hold an object a line: {error}") from error


def _session(uri: str, graph: bytes, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # Spinning threads burn a core between requests.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BundleError(
            f"{GRAPH_NAME} of {uri} cannot be run by ONNX Runtime {onnxruntime.__version__}: {error}"
        ) from error


def _dtype(uri: str, name: str, elem_type: int) -> np.dtype[Any]:
    try:
        return _ELEMENT_DTYPES[elem_type]
    except KeyError:
        raise BundleError(
            f"input {name!r} of {GRAPH_NAME} in {uri} has ONNX element type {elem_type}, which no column has"
        ) from None


def _neutral(column: Column) -> NDArray[Any]:
    """One value that any model takes: missing where that is allowed, else zero or the empty string."""
    if column.shape:
        sizes = (1, *(1 if size is None else size for size in column.shape))
        return np.full(sizes, "" if column.type is DataType.STRING else 0, dtype=dtype_of(column.type))
    if column.nullable:
        value = missing_value(column.type)
    else:
        value = "" if column.type is DataType.STRING else 0
    return np.array([value], dtype=_ELEMENT_DTYPES[{DataType.STRING: 8, DataType.TIMESTAMP: 7}.get(column.type, 11)])
