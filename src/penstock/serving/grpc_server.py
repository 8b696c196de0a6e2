"""The Open Inference Protocol, version 2, over gRPC (`inference.GRPCInferenceService`).

Calls arrive on threads of grpcio's; each waits for the main loop, where its instances are run with everyone's.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import prod
from typing import Any, NoReturn

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from penstock.errors import InstanceError, PenstockError
from penstock.serving.answers import Answers
from penstock.serving.exchange import Exchange, Headers
from penstock.serving.grpc_messages import message
from penstock.serving.lanes import Ask, Lane
from penstock.serving.predicting import OnVersion, handler_of
from penstock.serving.refusals import Code, Refusal, refusal_of
from penstock.serving.router import Handler
from penstock.serving.service import Service
from penstock.serving.wire_tensors import (
    binary_form,
    datatype_of,
    input_datatype,
    read_binary,
    sizes_of_shape,
    text_or_bytes,
    wire_shape,
)
from penstock.version import __version__

__all__ = ["GrpcServer"]

_MOST_THREADS = 16
_LONGEST_DETAILS = 600
"""Characters. They travel in headers, percent-encoded, and clients take no more than 8 KiB of these."""

_log = logging.getLogger(__name__)
_STATUSES = {
    Code.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    Code.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Code.PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Code.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Code.RESOURCE_EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Code.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class Call(Exchange):
    """A gRPC call. Its answer is the bytes of the response message."""

    def __init__(self, path: str, request: Any, context: Any) -> None:
        super().__init__("POST", path)
        self.request = request
        self.answer = b""
        self._context = context
        self._answered = threading.Event()

    @property
    def client(self) -> str:
        return str(self._context.peer())

    def header(self, name: str) -> str | None:
        for key, value in self._context.invocation_metadata():
            if key == name:
                return str(value)
        return None

    def wait(self, timeout_s: float) -> None:
        """Until there is an answer. Raises Refusal when there is none in time."""
        if not self._answered.wait(timeout_s):
            raise Refusal(Code.DEADLINE_EXCEEDED, f"the request waited for more than {timeout_s:g} s")

    def _send(self, status: int, body: bytes, headers: Headers) -> None:
        self.answer = body
        self._answered.set()


class GrpcServer:
    """Serves on a port of its own, which workers share."""

    name = "open_inference_grpc"

    def __init__(
        self,
        service: Service,
        *,
        address: str,
        post: Callable[[Callable[[], None]], None],
        admit: Callable[[Exchange], Refusal | None],
        answered: Callable[[Exchange], None],
        credentials: tuple[bytes, bytes] | None = None,
    ) -> None:
        """address: host and port. post: has a call run in the main loop's thread. admit: asked before anything else.

        answered: told in the main loop's thread of each call that has its answer. credentials: certificate and key.
        """
        self._service = service
        self._post = post
        self._admit = admit
        self._answered = answered
        limit = service.limits.body_bytes
        options = [
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_send_message_length", -1),
        ]
        # grpcio reads a call's body on the thread that answers it: as many bodies are held as there are threads.
        threads = min(_MOST_THREADS, service.limits.largest_bodies)
        self._server = grpc.server(ThreadPoolExecutor(threads, thread_name_prefix="grpc"), options=options)
        methods = {
            name: grpc.unary_unary_rpc_method_handler(
                partial(self._guarded, message(f"{name}Request"), do), response_serializer=_as_bytes
            )
            for name, do in {
                "ServerLive": lambda *_: message("ServerLiveResponse")(live=True),
                "ServerReady": lambda *_: message("ServerReadyResponse")(ready=True),
                "ServerMetadata": _server_metadata,
                "ModelReady": self._model_ready,
                "ModelMetadata": self._model_metadata,
                "ModelInfer": self._model_infer,
            }.items()
        }
        handlers = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", methods)
        self._server.add_generic_rpc_handlers((handlers,))
        if credentials is None:
            self._server.add_insecure_port(address)
        else:
            certificate, key = credentials
            self._server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))

    def start(self) -> None:
        self._server.start()

    def stop(self, within_s: float) -> None:
        """Takes no new call; open ones have that long."""
        self._server.stop(within_s)

    def owns(self, path: str) -> bool:
        return False

    def route(self, method: str, path: str) -> Handler:
        """Of a call that met a version on its way out: `path` is what `_path` made of it."""
        _, _, _, name, *rest = path.split("/")
        version = rest[1] if rest[0] == "versions" else None
        return handler_of(self._service, self, self._service.find(name, version), do=self._infer, mirrors=False)

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        exchange.refusal = refusal
        exchange.respond(refusal.code.http_status, b"")
        self._post(partial(self._answered, exchange))

    def _guarded(self, kind: Any, do: Callable[[Any, Any], Any], request: bytes, context: Any) -> Any:
        try:
            # Not left to grpcio, which calls bytes that are no message a failure of the server.
            return do(_parsed(kind, request), context)
        except Exception as error:
            if not isinstance(error, Refusal | PenstockError):
                _log.exception("a gRPC call failed")
            _abort(context, refusal_of(error))

    def _model_ready(self, request: Any, context: Any) -> Any:
        """False, not an error, for a model that is not there."""
        try:
            self._call(request.name, request.version, request, context, do=_tell_nothing)
        except Refusal as refusal:
            if refusal.code not in (Code.NOT_FOUND, Code.UNAVAILABLE):
                raise
            return message("ModelReadyResponse")(ready=False)
        return message("ModelReadyResponse")(ready=True)

    def _model_metadata(self, request: Any, context: Any) -> bytes:
        return self._call(request.name, request.version, request, context, do=self._tell_metadata)

    def _model_infer(self, request: Any, context: Any) -> bytes:
        return self._call(request.model_name, request.model_version, request, context, do=self._infer)

    def _call(
        self, name: str, version: str, request: Any, context: Any, *, do: Callable[[Lane, Exchange], None]
    ) -> bytes:
        """The answer of the main loop. Raises Refusal."""
        call = Call(_path(name, version), request, context)
        if (refusal := self._admit(call)) is not None:
            raise refusal
        self._post(partial(self._dispatch, call, name, version or None, do))
        call.wait(self._service.limits.deadline_s + 5)
        if call.refusal is not None:
            raise call.refusal
        return call.answer

    def _dispatch(self, call: Call, name: str, version: str | None, do: Callable[[Lane, Exchange], None]) -> None:
        """In the main loop's thread."""
        try:
            target = self._service.find(name, version)
            if do == self._infer:
                handler_of(self._service, self, target, do=do, mirrors=False)(call)
            else:
                OnVersion(self._service, self, target, do=do)(call)
        except Exception as error:
            self.refuse(call, refusal_of(error))

    def _tell_metadata(self, lane: Lane, exchange: Exchange) -> None:
        signature = lane.model.manifest.signature
        model = self._service.model(lane.model_name)
        tensor = message("TensorMetadata")
        response = message("ModelMetadataResponse")(
            name=lane.model_name,
            versions=[str(version.number) for version in model.versions] if model else [],
            platform="onnx_onnxv1",
            inputs=[
                tensor(name=column.name, datatype=input_datatype(column.type), shape=wire_shape(column))
                for column in signature.inputs
            ],
            outputs=[
                tensor(
                    name=output.name,
                    datatype=datatype_of(output.dtype),
                    shape=[-1 if size is None else size for size in output.shape],
                )
                for output in signature.outputs
            ],
        )
        exchange.respond(200, response.SerializeToString())

    def _infer(self, lane: Lane, exchange: Exchange) -> None:
        assert isinstance(exchange, Call)
        request = exchange.request
        batch = lane.model.decode_columns(_inputs(request))
        wanted = [output.name for output in request.outputs] or list(lane.model.output_names)
        for name in wanted:
            if name not in lane.model.output_names:
                known = ", ".join(lane.model.output_names)
                raise Refusal(Code.INVALID_ARGUMENT, f"there is no output {name!r}; the model has {known}")
        lane.ask(Ask(exchange, respond=partial(self._respond, wanted), refuse=self.refuse, batch=batch))

    def _respond(self, wanted: Sequence[str], exchange: Exchange, answers: Answers, start: int, stop: int) -> None:
        assert isinstance(exchange, Call)
        arrays = {name: answers.outputs[name][start:stop] for name in wanted}
        version = exchange.version
        response = message("ModelInferResponse")(
            model_name=exchange.model_name,
            model_version=str(version.number if version else ""),
            id=exchange.request.id,
            outputs=[
                message("InferOutputTensor")(
                    name=name,
                    datatype="BYTES" if array.dtype.kind in "OU" else datatype_of(array.dtype.name),
                    shape=array.shape,
                )
                for name, array in arrays.items()
            ],
            raw_output_contents=[binary_form(array) for array in arrays.values()],
        )
        exchange.respond(200, response.SerializeToString())
        self._post(partial(self._answered, exchange))


def _parsed(kind: Any, request: bytes) -> Any:
    """The message in these bytes. Raises Refusal."""
    try:
        return kind.FromString(request)
    except DecodeError:
        raise Refusal(
            Code.INVALID_ARGUMENT, f"the {len(request):,} bytes of the request are no {kind.DESCRIPTOR.full_name}"
        ) from None


def _inputs(request: Any) -> dict[str, list[Any] | NDArray[Any]]:
    """The values of every input by its name. Raises Refusal or InstanceError."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise Refusal(
            Code.INVALID_ARGUMENT, f"there are {len(raw)} raw_input_contents for {len(request.inputs)} inputs"
        )
    columns: dict[str, list[Any] | NDArray[Any]] = {}
    for index, tensor in enumerate(request.inputs):
        name = tensor.name
        if name in columns:
            raise InstanceError(f"input {name!r} is there twice", column=name)
        sizes = sizes_of_shape(name, list(tensor.shape))
        if raw:
            if tensor.HasField("contents"):
                raise InstanceError(
                    f"input {name!r} has contents besides raw_input_contents; expected one", column=name
                )
            columns[name] = read_binary(name, tensor.datatype, sizes, memoryview(raw[index]))
        else:
            columns[name] = _contents(name, tensor, sizes)
    return columns


def _contents(name: str, tensor: Any, sizes: tuple[int, ...]) -> list[Any] | NDArray[Any]:
    if tensor.datatype not in _CONTENTS:
        raise InstanceError(
            f"input {name!r} has the datatype {tensor.datatype!r}; expected one of {', '.join(_CONTENTS)}", column=name
        )
    values = list(getattr(tensor.contents, _CONTENTS[tensor.datatype]))
    if len(values) != prod(sizes):
        raise InstanceError(f"input {name!r} has {len(values)} values; its shape says {prod(sizes)}", column=name)
    if tensor.datatype != "BYTES":
        return np.array(values).reshape(sizes)
    texts = np.empty(len(values), dtype=object)
    texts[:] = [text_or_bytes(value) for value in values]
    return texts.reshape(sizes)


def _server_metadata(*_: Any) -> Any:
    return message("ServerMetadataResponse")(name="penstock", version=__version__, extensions=["binary_tensor_data"])


def _tell_nothing(_: Lane, exchange: Exchange) -> None:
    exchange.respond(200, b"")


def _path(name: str, version: str) -> str:
    """The path of the same request over REST, by which access is decided."""
    return f"/v2/models/{name}/versions/{version}/infer" if version else f"/v2/models/{name}/infer"


def _abort(context: Any, refusal: Refusal) -> NoReturn:
    details = refusal.message
    if len(details) > _LONGEST_DETAILS:
        details = f"{details[:_LONGEST_DETAILS]}…"
    context.abort(_STATUSES.get(refusal.code, grpc.StatusCode.INTERNAL), details)
    raise AssertionError("abort raises")


def _as_bytes(response: Any) -> bytes:
    return response if isinstance(response, bytes) else bytes(response.SerializeToString())
