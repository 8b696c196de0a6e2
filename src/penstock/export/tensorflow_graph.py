"""An ONNX graph as TensorFlow operations, node by node: the operators that our own models are written in.

Loads TensorFlow when called; for a process of its own.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from penstock.errors import ExportError
from penstock.export.tensorflow_trees import tree_scores

__all__ = ["GraphFunction", "untranslatable"]

Operator = Callable[[Any, list[Any], dict[str, Any]], Any]

_MOST_WORDS = 20_000


class GraphFunction:
    """Calls a graph with tensors by input name; answers tensors by output name.

    narrow: doubles are computed in float32, which is all that LiteRT has arithmetic for.
    """

    def __init__(self, model: onnx.ModelProto, *, narrow: bool) -> None:
        import tensorflow as tf

        self._tf = tf
        self._model = model
        self._narrow = narrow
        self._constants = {item.name: self._constant(numpy_helper.to_array(item)) for item in model.graph.initializer}

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {**self._constants, **inputs}
        for node in self._model.graph.node:
            given = [values[name] if name else None for name in node.input]
            attributes = {part.name: helper.get_attribute_value(part) for part in node.attribute}
            made = self._apply(node, given, attributes)
            values.update(zip(node.output, made if isinstance(made, list) else [made], strict=True))
        return {output.name: values[output.name] for output in self._model.graph.output}

    def _apply(self, node: Any, given: list[Any], attributes: dict[str, Any]) -> Any:
        match node.op_type:
            case "Cast":
                return self._tf.cast(given[0], self._type(int(attributes["to"])))
            case "Constant":
                return self._constant(numpy_helper.to_array(attributes["value"]))
            case "LabelEncoder":
                return self._lookup(given[0], attributes)
            case "TreeEnsemble":
                return tree_scores(given[0], attributes)
            case "Split":
                count = int(attributes.get("num_outputs") or len(node.output))
                sizes = count if len(given) < 2 or given[1] is None else given[1]
                return list(self._tf.split(given[0], sizes, axis=int(attributes.get("axis", 0))))
            case op:
                return _OPERATORS[op](self._tf, given, attributes)

    def _constant(self, array: NDArray[Any]) -> Any:
        if array.dtype == object or array.dtype.kind in "US":
            flat = [item if isinstance(item, bytes) else str(item).encode() for item in array.ravel().tolist()]
            array = np.array(flat, dtype=object).reshape(array.shape)
        elif self._narrow and array.dtype == np.float64:
            array = array.astype(np.float32)
        return self._tf.constant(array)

    def _type(self, element: int) -> Any:
        if element == TensorProto.DOUBLE and self._narrow:
            return self._tf.float32
        if element == TensorProto.STRING:
            return self._tf.string
        return self._tf.as_dtype(np.dtype(helper.tensor_dtype_to_np_dtype(element)))

    def _lookup(self, values: Any, attributes: dict[str, Any]) -> Any:
        """Compares with every key: no table to initialize, and nothing that LiteRT lacks."""
        keys, found, default = _mapping(attributes)
        tf = self._tf
        flat = tf.reshape(values, [-1, 1])
        wanted = tf.cast(self._constant(keys), flat.dtype) if keys.dtype.kind != "O" else self._constant(keys)
        matches = tf.equal(flat, wanted[None, :])
        if keys.dtype.kind == "f" and np.isnan(keys).any():
            matches = tf.logical_or(matches, tf.logical_and(tf.math.is_nan(flat), tf.constant(np.isnan(keys))[None, :]))
        place = tf.argmax(tf.cast(matches, tf.int32), axis=1)
        answers = tf.gather(self._constant(found), place)
        missing = tf.fill(tf.shape(answers), self._constant(default))
        answers = tf.where(tf.reduce_any(matches, axis=1), answers, missing)
        return tf.reshape(answers, tf.shape(values))


def untranslatable(model: onnx.ModelProto) -> list[tuple[str, tuple[str, ...]]]:
    """Operators that there is no translation of, each with the graph inputs that lead to it."""
    makers = {output: node for node in model.graph.node for output in node.output}
    inputs = {value.name for value in model.graph.input}

    def origins(name: str) -> set[str]:
        found, pending, seen = set(), [name], set()
        while pending:
            one = pending.pop()
            if one in seen:
                continue
            seen.add(one)
            if one in inputs:
                found.add(one)
            elif one in makers:
                pending.extend(makers[one].input)
        return found

    refused: dict[str, set[str]] = {}
    for node in model.graph.node:
        if node.op_type in _OWN:
            if node.op_type != "LabelEncoder":
                continue
            keys, _, _ = _mapping({part.name: helper.get_attribute_value(part) for part in node.attribute})
            if len(keys) <= _MOST_WORDS:
                continue
            refused.setdefault(f"a vocabulary of {len(keys):,} words", set()).update(origins(node.output[0]))
        elif node.op_type not in _OPERATORS or node.domain not in ("", "ai.onnx.ml"):
            refused.setdefault(node.op_type, set()).update(origins(node.output[0]))
    return [(name, tuple(sorted(columns))) for name, columns in refused.items()]


def _mapping(attributes: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Keys, values and the default of a LabelEncoder, whichever way they are written."""

    def array(kind: str) -> NDArray[Any]:
        if f"{kind}_tensor" in attributes:
            return np.asarray(numpy_helper.to_array(attributes[f"{kind}_tensor"]))
        for suffix, dtype in (("strings", object), ("int64s", np.int64), ("floats", np.float32)):
            if f"{kind}_{suffix}" in attributes:
                return np.array(attributes[f"{kind}_{suffix}"], dtype=dtype)
        raise ExportError(f"a LabelEncoder has no {kind}")

    keys, values = array("keys"), array("values")
    if "default_tensor" in attributes:
        default = np.asarray(numpy_helper.to_array(attributes["default_tensor"])).reshape(())
    elif values.dtype == object:
        default = np.array(attributes.get("default_string", b"_Unused"), dtype=object)
    else:
        name = "default_int64" if values.dtype == np.int64 else "default_float"
        default = np.array(attributes.get(name, -1 if values.dtype == np.int64 else 0.0), dtype=values.dtype)
    return keys, values, default


def _div(tf: Any, given: list[Any], _: Any) -> Any:
    return tf.truncatediv(*given) if given[0].dtype.is_integer else tf.divide(*given)


def _mod(tf: Any, given: list[Any], attributes: dict[str, Any]) -> Any:
    return tf.truncatemod(*given) if attributes.get("fmod") else tf.math.floormod(*given)


def _reduce(name: str) -> Operator:
    def apply(tf: Any, given: list[Any], attributes: dict[str, Any]) -> Any:
        axes = given[1] if len(given) > 1 else attributes.get("axes")
        return getattr(tf, name)(given[0], axis=axes, keepdims=bool(attributes.get("keepdims", 1)))

    return apply


def _gather(tf: Any, given: list[Any], attributes: dict[str, Any]) -> Any:
    return tf.gather(given[0], given[1], axis=int(attributes.get("axis", 0)))


def _reshape(tf: Any, given: list[Any], _: Any) -> Any:
    sizes = tf.get_static_value(given[1])
    if sizes is not None and 0 in sizes.tolist():
        shape = tf.shape(given[0])
        return tf.reshape(given[0], [shape[i] if size == 0 else int(size) for i, size in enumerate(sizes.tolist())])
    return tf.reshape(given[0], given[1])


def _clip(tf: Any, given: list[Any], _: Any) -> Any:
    value = given[0]
    if len(given) > 1 and given[1] is not None:
        value = tf.maximum(value, given[1])
    return tf.minimum(value, given[2]) if len(given) > 2 and given[2] is not None else value


def _unsqueeze(tf: Any, given: list[Any], _: Any) -> Any:
    value = given[0]
    for axis in sorted(np.ravel(tf.get_static_value(given[1])).tolist()):
        value = tf.expand_dims(value, int(axis))
    return value


def _squeeze(tf: Any, given: list[Any], _: Any) -> Any:
    axes = None if len(given) < 2 else [int(axis) for axis in np.ravel(tf.get_static_value(given[1])).tolist()]
    return tf.squeeze(given[0], axis=axes)


def _slice(tf: Any, given: list[Any], _: Any) -> Any:
    starts, ends = (np.ravel(tf.get_static_value(part)).tolist() for part in given[1:3])
    axes = np.ravel(tf.get_static_value(given[3])).tolist() if len(given) > 3 else list(range(len(starts)))
    steps = np.ravel(tf.get_static_value(given[4])).tolist() if len(given) > 4 else [1] * len(starts)
    parts = [slice(None)] * given[0].shape.rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        parts[int(axis)] = slice(int(start), None if end > 2**31 else int(end), int(step))
    return given[0][tuple(parts)]


def _argmax(tf: Any, given: list[Any], attributes: dict[str, Any]) -> Any:
    axis = int(attributes.get("axis", 0))
    found = tf.argmax(given[0], axis=axis, output_type=tf.int64)
    return tf.expand_dims(found, axis) if attributes.get("keepdims", 1) else found


def _gelu(tf: Any, given: list[Any], attributes: dict[str, Any]) -> Any:
    return tf.nn.gelu(given[0], approximate=attributes.get("approximate", b"none") == b"tanh")


def _of(path: str) -> Operator:
    def apply(tf: Any, given: list[Any], _: dict[str, Any]) -> Any:
        found = tf
        for part in path.split("."):
            found = getattr(found, part)
        return found(*given)

    return apply


def _many(path: str) -> Operator:
    def apply(tf: Any, given: list[Any], _: dict[str, Any]) -> Any:
        total = given[0]
        for value in given[1:]:
            total = getattr(tf, path)(total, value)
        return total

    return apply


_OWN = {"Cast", "Constant", "LabelEncoder", "TreeEnsemble", "Split"}

_OPERATORS: dict[str, Operator] = {
    "Abs": _of("abs"),
    "Add": _of("add"),
    "And": _of("logical_and"),
    "ArgMax": _argmax,
    "Asin": _of("asin"),
    "Clip": _clip,
    "Concat": lambda tf, given, attributes: tf.concat(given, axis=int(attributes["axis"])),
    "Cos": _of("cos"),
    "Div": _div,
    "Elu": _of("nn.elu"),
    "Equal": _of("equal"),
    "Erf": _of("math.erf"),
    "Exp": _of("exp"),
    "Expand": lambda tf, given, _: tf.broadcast_to(
        given[0], tf.broadcast_dynamic_shape(tf.shape(given[0], out_type=given[1].dtype), given[1])
    ),
    "Floor": _of("floor"),
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": lambda tf, given, attributes: (
        tf.matmul(given[0], given[1], transpose_b=bool(attributes.get("transB", 0)))
        + (given[2] if len(given) > 2 else 0)
    ),
    "Greater": _of("greater"),
    "GreaterOrEqual": _of("greater_equal"),
    "Identity": _of("identity"),
    "IsNaN": _of("math.is_nan"),
    "LeakyRelu": lambda tf, given, attributes: tf.nn.leaky_relu(given[0], alpha=attributes.get("alpha", 0.01)),
    "Less": _of("less"),
    "LessOrEqual": _of("less_equal"),
    "Log": _of("math.log"),
    "MatMul": _of("matmul"),
    "Max": _many("maximum"),
    "Min": _many("minimum"),
    "Mod": _mod,
    "Mul": _of("multiply"),
    "Neg": _of("negative"),
    "Not": _of("logical_not"),
    "Or": _of("logical_or"),
    "Pow": _of("pow"),
    "Reciprocal": _of("math.reciprocal"),
    "ReduceMax": _reduce("reduce_max"),
    "ReduceMean": _reduce("reduce_mean"),
    "ReduceMin": _reduce("reduce_min"),
    "ReduceSum": _reduce("reduce_sum"),
    "Relu": _of("nn.relu"),
    "Reshape": _reshape,
    "Selu": _of("nn.selu"),
    "Shape": lambda tf, given, _: tf.shape(given[0], out_type=tf.int64),
    "Sigmoid": _of("sigmoid"),
    "Sign": _of("sign"),
    "Sin": _of("sin"),
    "Slice": _slice,
    "Softmax": lambda tf, given, attributes: tf.nn.softmax(given[0], axis=int(attributes.get("axis", -1))),
    "Softplus": _of("math.softplus"),
    "Sqrt": _of("sqrt"),
    "Squeeze": _squeeze,
    "Sub": _of("subtract"),
    "Sum": _many("add"),
    "Tanh": _of("tanh"),
    "Transpose": lambda tf, given, attributes: tf.transpose(given[0], perm=attributes.get("perm")),
    "Unsqueeze": _unsqueeze,
    "Where": _of("where"),
}
