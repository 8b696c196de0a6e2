"""Hands out a bundle's graph as a file of its own, for any ONNX runtime."""

from penstock.bundle.folder import find_bundle, read_manifest
from penstock.data.schema import DataType
from penstock.errors import AlreadyExistsError
from penstock.export.exported import Exported
from penstock.runtime.model import GRAPH_NAME, RECIPE_NAME, read_file
from penstock.store import blobs

__all__ = ["export_onnx"]


def export_onnx(bundle_uri: str, *, output: str) -> Exported:
    """Copies the graph to the path or URI `output`, its digest checked. One named `[N, 1]` input a column.

    Raises NotFoundError and BundleError for what is no whole bundle, AlreadyExistsError where something is at `output`.
    """
    uri = find_bundle(bundle_uri)
    manifest = read_manifest(uri)
    graph = read_file(uri, manifest, GRAPH_NAME)
    place = blobs.absolute(output)
    if blobs.exists(place):
        raise AlreadyExistsError(f"{place} is there already; name another file with --output, or delete it first")
    folder, _, name = place.rpartition("/")
    blobs.write_bytes(folder or "/", name, graph)
    types = {column.type for column in manifest.graph_inputs}
    notes = []
    if types & {DataType.FLOAT, DataType.INTEGER, DataType.BOOLEAN}:
        notes.append("numbers and booleans go in as float64, NaN where missing")
    if DataType.STRING in types:
        notes.append("text goes in as strings in NFC, U+E000 where missing")
    if DataType.TIMESTAMP in types:
        notes.append("moments go in as int64 microseconds since 1970 UTC, -2^63 where missing")
    if RECIPE_NAME in manifest.files:
        taken = ", ".join(column.name for column in manifest.graph_inputs)
        notes.append(f"the steps in front of the model are not part of the graph, which takes {taken}")
    return Exported(target="onnx", place=place, files=(name,), notes=tuple(notes))
