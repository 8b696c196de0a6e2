"""A Keras model on JAX as nodes of a graph, through jax2onnx (the extra `export`)."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from onnx import compose, inliner

from penstock.errors import ExportError, MissingExtraError
from penstock.export.graph import OPSET, GraphBuilder

__all__ = ["splice_keras"]

_DOMAINS = ("", "ai.onnx.ml", "com.microsoft")


def splice_keras(
    graph: GraphBuilder, model: Any, inputs: Sequence[str], *, specs: Sequence[tuple[tuple[int | None, ...], str]]
) -> list[str]:
    """Writes a Keras model's nodes behind the tensors `inputs` and returns the tensors of its outputs, flattened.

    specs: shape (the batch first, None) and element type ("float32", "int32") of each input, as the model is called:
        with one tensor where there is one, else with a list. A subclassed model must have been called once.
    Raises MissingExtraError without jax2onnx, ExportError naming the operation that it cannot translate.
    """
    translated = _translate(model, specs)
    prefixed = compose.add_prefix(translated, prefix=graph.unique("keras") + "/")
    for declared, given in zip(prefixed.graph.input, inputs, strict=True):
        prefixed.graph.node.insert(0, onnx.helper.make_node("Identity", [given], [declared.name], name=declared.name))
    graph.splice(
        prefixed.graph.node,
        prefixed.graph.initializer,
        [opset.domain for opset in prefixed.opset_import if opset.domain in _used_domains(prefixed)],
    )
    return [output.name for output in prefixed.graph.output]


def _translate(model: Any, specs: Sequence[tuple[tuple[int | None, ...], str]]) -> onnx.ModelProto:
    try:
        import jax2onnx
    except ImportError as error:
        raise MissingExtraError("export", "exporting a Keras model of your own") from error
    import jax
    import keras

    if keras.backend.backend() != "jax":
        raise ExportError(
            f"a Keras model is exported on the backend jax, and Keras runs on {keras.backend.backend()} here; "
            "set KERAS_BACKEND=jax"
        )

    def call(*tensors: Any) -> Any:
        outputs = model(tensors[0] if len(tensors) == 1 else list(tensors), training=False)
        return keras.tree.flatten(outputs)

    (batch,) = jax.export.symbolic_shape("N")
    described = [
        jax.ShapeDtypeStruct(tuple(batch if size is None else size for size in shape), np.dtype(dtype))
        for shape, dtype in specs
    ]
    name = getattr(model, "name", type(model).__name__)
    try:
        with _rules_of_equinox_where_used():
            translated = jax2onnx.to_onnx(call, described, model_name="keras", opset=OPSET)
    except Exception as error:
        raise ExportError(f"the Keras model {name!r} cannot be translated to ONNX: {_on_one_line(error)}") from error
    # Nodes are spliced one by one: functions of the model's own would be left behind.
    inlined = inliner.inline_local_functions(translated) if translated.functions else translated
    for opset in inlined.opset_import:
        if opset.domain not in _DOMAINS or (opset.domain == "" and opset.version > OPSET):
            raise ExportError(
                f"the Keras model {name!r} needs operator set {opset.domain or 'ai.onnx'} {opset.version}; "
                f"expected at most ai.onnx {OPSET}, which every runtime loads"
            )
    return inlined


@contextmanager
def _rules_of_equinox_where_used() -> Iterator[None]:
    """Its first translation makes jax2onnx load its rules for every library. Those for Equinox run seventy programs
    as they load, 7 s of 9, and matter to models made with it alone, which have imported it."""
    if "equinox" in sys.modules:
        yield
        return
    logger = logging.getLogger("jax2onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # It warns of each rule that it passes over.
    sys.modules["equinox"] = None  # type: ignore[assignment]  # Python's mark of a module that is not to be found.
    try:
        yield
    finally:
        del sys.modules["equinox"]
        logger.setLevel(level)


def _used_domains(model: onnx.ModelProto) -> set[str]:
    return {node.domain for node in model.graph.node}


def _on_one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else f"{text[:400]}…"
