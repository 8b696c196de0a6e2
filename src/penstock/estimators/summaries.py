"""TensorBoard event files, written without TensorFlow: scalars by step, hyperparameters, the data-flow graph.

The file format is TFRecord: length, masked CRC of the length, an `Event` message, masked CRC of the message.
"""

import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import onnx
from tensorboard.compat.proto import event_pb2, graph_pb2, summary_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

__all__ = ["SummaryWriter", "graph_of_layers", "graph_of_onnx"]

_FILE_NUMBERS = count()

GraphNodes = list[tuple[str, str, list[str]]]
"""Name, operator and inputs of each node."""


class SummaryWriter:
    """One event file in a folder; a context manager.

    first_step: of a training that goes on: TensorBoard drops what an earlier, killed run wrote beyond it.
    append_to: an event file written before, which goes on.
    """

    def __init__(self, folder: Path, *, first_step: int = 0, append_to: Path | None = None) -> None:
        if append_to is not None:
            self.path = append_to
            self._file = append_to.open("ab")
            return
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_FILE_NUMBERS)}"
        self.path = folder / name
        self._file = self.path.open("wb")
        self._write(event_pb2.Event(file_version="brain.Event:2"))
        if first_step:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._write(event_pb2.Event(session_log=start, step=first_step))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        summary = summary_pb2.Summary()
        for tag, value in values.items():
            summary.value.add(tag=tag, simple_value=float(value))
        self._write(event_pb2.Event(summary=summary, step=step))

    def hyperparameters(self, values: Mapping[str, Any], *, trial: str | None = None) -> None:
        """Numbers, booleans and texts as they are, anything else as its text."""
        from tensorboard.plugins.hparams import summary_v2

        plain = {
            name: value if isinstance(value, (bool, int, float, str)) else str(value)
            for name, value in values.items()
            if value is not None
        }
        self._write(
            event_pb2.Event(
                summary=summary_pb2.Summary.FromString(summary_v2.hparams_pb(plain, trial_id=trial).SerializeToString())
            )
        )

    def graph(self, nodes: Sequence[tuple[str, str, list[str]]]) -> None:
        graph = graph_pb2.GraphDef()
        for name, operator, inputs in nodes:
            graph.node.add(name=name, op=operator, input=inputs)
        self._write(event_pb2.Event(graph_def=graph.SerializeToString()))

    def flush(self) -> None:
        self._file.flush()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        content = event.SerializeToString()
        length = struct.pack("<Q", len(content))
        self._file.write(length + struct.pack("<I", masked_crc32c(length)))
        self._file.write(content + struct.pack("<I", masked_crc32c(content)))


def graph_of_onnx(model: onnx.ModelProto) -> GraphNodes:
    """The nodes of a model's graph: inputs are placeholders, weights are constants beside the node that reads them."""
    weights = {initializer.name for initializer in model.graph.initializer}
    nodes: GraphNodes = [(_node_name(value.name), "Placeholder", []) for value in model.graph.input]
    made_by = {output: _node_name(node.name) for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        inputs = [made_by.get(name, _node_name(name)) for name in node.input if name]
        nodes.append((_node_name(node.name), node.op_type, inputs))
    nodes += [(_node_name(name), "Const", []) for name in sorted(weights)]
    return nodes


def graph_of_layers(columns: Mapping[str, Sequence[str]], layers: Sequence[tuple[str, str]]) -> GraphNodes:
    """A chain of layers (name and class) behind the feature columns (name to raw columns)."""
    raw = sorted({key for keys in columns.values() for key in keys})
    nodes: GraphNodes = [(_node_name(f"column/{key}"), "Placeholder", []) for key in raw]
    for name, keys in columns.items():
        nodes.append((_node_name(f"feature/{name}"), "FeatureColumn", [_node_name(f"column/{key}") for key in keys]))
    before = [_node_name(f"feature/{name}") for name in columns]
    for name, kind in layers:
        nodes.append((_node_name(name), kind, before))
        before = [_node_name(name)]
    return nodes


def _node_name(name: str) -> str:
    # A leading ^ marks control edges and a colon output numbers: neither may come from a column's name.
    return name.replace(":", "_").replace("^", "_").strip() or "_"
