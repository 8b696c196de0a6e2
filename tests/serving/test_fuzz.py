"""Whatever callers send, on every protocol: an answer or a refusal in words, no failure of the server and no hang."""

import json
import re
import struct
from collections.abc import Generator
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.runtime.bundles import linear_bundle, mixed_bundle
from tests.serving.servers import RunningServer, run_server
from tritonclient.grpc import service_pb2

from penstock.registry.registry import open_registry
from penstock.settings import load_settings

ROW = {"A": 1, "B": 2, "C": 3}
INFER_PATH = "/v2/models/{model}/infer"
PATHS = (
    "/v1/models/{model}:predict",
    "/v1/models/{model}:regress",
    "/v1/models/{model}:explain",
    "/v1/projects/local/models/{model}:predict",
    "/v1/projects/local/models/{model}:explain",
    INFER_PATH,
    "/invocations",
)
KINDS = ("application/json", "text/csv", "application/octet-stream", "application/json; charset=latin-1", "")
FEW_AND_MANY = pytest.mark.parametrize(
    "examples", [25, pytest.param(600, marks=[pytest.mark.slow, pytest.mark.timeout(900)])], ids=["few", "many"]
)
WITHIN_S = 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningServer]:
    folder = tmp_path_factory.mktemp("fuzz")
    environment = {"PENSTOCK_HOME": str(folder / "home")}
    samples = {"samples.jsonl": json.dumps(ROW).encode()}
    with open_registry(load_settings(environment)) as registry:
        for name, bundle in {
            "linear": linear_bundle(folder / "linear", files=samples),
            "mixed": mixed_bundle(folder / "mixed"),
        }.items():
            registry.create_model(name)
            registry.create_version(name, "v1", bundle)
    with run_server(folder, "--grpc-port", "0", "--access-log-rate", "0", environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def channel(server: RunningServer) -> Generator[grpc.Channel]:
    found = re.search(r"serving gRPC on (\S+)", server.log)
    assert found
    with grpc.insecure_channel(found[1]) as opened:
        yield opened


NAMES = st.sampled_from(["A", "B", "C", "age", "town", "rooms", "sold", "owner", "zone", "price"]) | st.text(max_size=5)
NUMBERS = st.integers() | st.floats() | st.integers(-(2**70), 2**70)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=20,
)
CELLS = NUMBERS | st.none() | st.booleans() | st.text(max_size=8) | JSON
INSTANCES = st.dictionaries(NAMES, CELLS, max_size=7) | st.fixed_dictionaries({"A": CELLS, "B": CELLS, "C": CELLS})
DATATYPES = st.sampled_from(["BOOL", "UINT8", "UINT64", "INT8", "INT64", "FP16", "FP32", "FP64", "BYTES", "BF16", ""])
SHAPES = st.just([1]) | st.just([2, 1]) | st.lists(st.sampled_from([0, 1, 2, 3, -1, 2**31, 2**62]), max_size=70)
TENSORS = st.fixed_dictionaries(
    {"name": NAMES, "shape": SHAPES | JSON, "datatype": DATATYPES | JSON},
    optional={"data": st.lists(CELLS, max_size=4) | JSON, "parameters": JSON},
)
TABLE = st.fixed_dictionaries(
    {"columns": st.lists(NAMES, max_size=4), "data": st.lists(st.lists(CELLS, max_size=4), max_size=3)},
    optional={"index": JSON},
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "instances": st.lists(INSTANCES | CELLS, max_size=3) | JSON,
        "inputs": st.lists(TENSORS, max_size=4) | st.dictionaries(NAMES, st.lists(CELLS, max_size=3)) | JSON,
        "examples": st.lists(INSTANCES, max_size=3) | JSON,
        "context": INSTANCES | JSON,
        "outputs": st.lists(st.fixed_dictionaries({"name": NAMES | st.just("predictions")})) | JSON,
        "dataframe_split": TABLE | JSON,
        "dataframe_records": st.lists(INSTANCES, max_size=3) | JSON,
        "signature_name": JSON,
        "parameters": JSON,
        "id": JSON,
    },
)
WIRE = (
    (BODIES | JSON).map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=200)
    | st.tuples(st.lists(NAMES, max_size=4), st.lists(st.lists(st.text(max_size=6), max_size=4), max_size=3)).map(
        lambda table: "\n".join([",".join(table[0]), *map(",".join, table[1])]).encode("utf-8", "surrogatepass")
    )
)


def tries(examples: int) -> hypothesis_settings:
    return hypothesis_settings(
        max_examples=examples,
        derandomize=examples < 100,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@FEW_AND_MANY
@pytest.mark.parametrize("path", PATHS)
def test_no_body_makes_a_server_fail(server: RunningServer, path: str, examples: int) -> None:
    @tries(examples)
    @given(body=WIRE, kind=st.sampled_from(KINDS), model=st.sampled_from(["linear", "mixed"]))
    def ask(body: bytes, kind: str, model: str) -> None:
        answer = server.client.post(path.format(model=model), content=body, headers={"content-type": kind})
        assert answer.status_code < 500, answer.text

    ask()
    assert "Traceback" not in server.log


@FEW_AND_MANY
def test_no_binary_tensor_makes_a_server_fail(server: RunningServer, examples: int) -> None:
    @tries(examples)
    @given(
        tensors=st.lists(
            st.tuples(NAMES, SHAPES, DATATYPES, st.binary(max_size=40), st.integers(-5, 50) | st.none()), max_size=4
        ),
        shift=st.sampled_from([0, 0, 0, 1, -1, 10**9]),
        is_binary=st.booleans(),
    )
    def ask(tensors: list[Any], shift: int, is_binary: bool) -> None:
        inputs = [
            {
                "name": name,
                "shape": shape,
                "datatype": datatype,
                "parameters": {"binary_data_size": len(data) if size is None else size},
            }
            for name, shape, datatype, data, size in tensors
        ]
        head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": is_binary}}).encode()
        body = head + b"".join(data for _, _, _, data, _ in tensors)
        answer = server.client.post(
            INFER_PATH.format(model="linear"),
            content=body,
            headers={"inference-header-content-length": str(len(head) + shift)},
        )
        assert answer.status_code < 500, answer.text

    ask()
    assert "Traceback" not in server.log


@FEW_AND_MANY
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_no_path_makes_a_server_fail(server: RunningServer, method: str, examples: int) -> None:
    known = """v1 v2 models projects local linear versions labels 1 infer metadata linear:predict mixed:explain :predict
        health ready openapi linear.json drift %00 %ff .. //"""
    parts = st.sampled_from(known.split()) | st.text(max_size=6)

    @tries(examples)
    @given(parts=st.lists(parts, max_size=8))
    def ask(parts: list[str]) -> None:
        path = quote("/".join(parts), safe="/:%", errors="surrogatepass").lstrip("/")
        answer = server.client.request(method, f"/{path}")
        assert answer.status_code < 500, answer.text

    ask()
    assert "Traceback" not in server.log


WORDS = st.text(max_size=5) | st.sampled_from(["1", "v1"]) | st.integers(10_000, 20_000).map("é".__mul__)
CONTENTS = st.builds(
    service_pb2.InferTensorContents,
    bool_contents=st.lists(st.booleans(), max_size=2),
    int_contents=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=2),
    int64_contents=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=2),
    uint_contents=st.lists(st.integers(0, 2**32 - 1), max_size=2),
    uint64_contents=st.lists(st.integers(0, 2**64 - 1), max_size=2),
    fp32_contents=st.lists(st.floats(width=32), max_size=2),
    fp64_contents=st.lists(st.floats(), max_size=2),
    bytes_contents=st.lists(st.binary(max_size=8), max_size=2),
)
LONGS = SHAPES.map(lambda shape: [size for size in shape if size < 2**63])
INPUTS = st.builds(
    service_pb2.ModelInferRequest.InferInputTensor,
    name=NAMES,
    datatype=DATATYPES | WORDS,
    shape=LONGS,
    contents=st.none() | CONTENTS,
)
EIGHT = st.integers(0, 2).map(lambda count: struct.pack(f"<{count}d", *range(count)))
INFERS = st.builds(
    service_pb2.ModelInferRequest,
    model_name=st.sampled_from(["linear", "mixed"]) | WORDS,
    model_version=st.just("") | WORDS,
    id=WORDS,
    inputs=st.lists(INPUTS, max_size=4),
    outputs=st.lists(st.builds(service_pb2.ModelInferRequest.InferRequestedOutputTensor, name=WORDS), max_size=2),
    raw_input_contents=st.lists(EIGHT | st.binary(max_size=20), max_size=4),
)
NEAR_INFERS = st.builds(
    lambda datatype, shape, data: service_pb2.ModelInferRequest(
        model_name="linear",
        inputs=[
            service_pb2.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape) for name in ROW
        ],
        raw_input_contents=[data] * 3,
    ),
    DATATYPES,
    LONGS,
    EIGHT | st.binary(max_size=20),
)
METHODS = [
    "ModelInfer",
    "ModelMetadata",
    "ModelReady",
    "ServerLive",
    "ServerReady",
    "ServerMetadata",
    "RepositoryIndex",
]
OUTCOMES = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
}


def is_answered_or_refused(channel: grpc.Channel, method: str, request: bytes) -> None:
    call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}").future(request, timeout=WITHIN_S)
    assert call.code() in OUTCOMES, (call.code(), call.details())


@FEW_AND_MANY
def test_no_grpc_message_makes_a_server_fail(server: RunningServer, channel: grpc.Channel, examples: int) -> None:
    @tries(2 * examples)
    @given(request=INFERS | NEAR_INFERS)
    def ask(request: Any) -> None:
        is_answered_or_refused(channel, "ModelInfer", request.SerializeToString())

    ask()
    assert "Traceback" not in server.log


@FEW_AND_MANY
def test_no_grpc_bytes_make_a_server_fail(server: RunningServer, channel: grpc.Channel, examples: int) -> None:
    @tries(2 * examples)
    @given(
        method=st.sampled_from(METHODS),
        request=st.binary(max_size=60)
        | st.tuples(INFERS, st.integers(0, 400), st.binary(max_size=3)).map(
            lambda made: made[0].SerializeToString()[: made[1]] + made[2]
        ),
    )
    def ask(method: str, request: bytes) -> None:
        is_answered_or_refused(channel, method, request)

    ask()
    assert "Traceback" not in server.log
