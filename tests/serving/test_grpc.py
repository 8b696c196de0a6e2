"""The Open Inference Protocol over gRPC, asked with Triton's own client."""

import os
import re
import signal
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tests.runtime.bundles import linear_bundle, mixed_bundle
from tests.serving.servers import RunningServer, run_server, wait_until
from tests.serving.test_metrics import metrics, parse
from tests.serving.test_server import refused_start
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from penstock.registry.registry import open_registry
from penstock.serving.limits import Limits
from penstock.settings import load_settings

COLUMNS = {"A": [[1.0], [0.0]], "B": [[2.0], [0.0]], "C": [[3.0], [1.0]]}


def address(server: RunningServer) -> str:
    found = re.search(r"serving gRPC on (\S+)", server.log)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningServer]:
    folder = tmp_path_factory.mktemp("grpc")
    environment = {"PENSTOCK_HOME": str(folder / "home")}
    with open_registry(load_settings(environment)) as registry:
        registry.create_model("linear")
        registry.create_version("linear", "v1", linear_bundle(folder / "1"))
        registry.create_version("linear", "better", linear_bundle(folder / "2", offset=0.25))
        registry.create_model("mixed")
        registry.create_version("mixed", "v1", mixed_bundle(folder / "3"))
    with run_server(folder, "--grpc-port", "0", environment=environment) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Generator[Any]:
    with triton.InferenceServerClient(address(server)) as asking:
        yield asking


def tensor(name: str, values: Any, datatype: str) -> Any:
    array = np.array(values)
    return triton.InferInput(name, list(array.shape), datatype).set_data_from_numpy(array)


def linear_inputs(datatype: str = "FP64", dtype: str = "f8") -> list[Any]:
    return [tensor(name, np.array(values, dtype=dtype), datatype) for name, values in COLUMNS.items()]


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("linear")
    assert client.is_model_ready("linear", "2")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata().name == "penstock"
    metadata = client.get_model_metadata("linear", as_json=True)
    assert metadata["versions"] == ["1", "2"]
    assert metadata["inputs"][0] == {"name": "A", "datatype": "FP64", "shape": ["-1", "1"]}
    assert metadata["outputs"] == [{"name": "predictions", "datatype": "FP32", "shape": ["-1", "1"]}]


@pytest.mark.parametrize(("datatype", "dtype"), [("FP64", "f8"), ("FP32", "f4"), ("INT64", "i8"), ("UINT8", "u1")])
def test_numbers_of_every_datatype(client: Any, datatype: str, dtype: str) -> None:
    answer = client.infer("linear", linear_inputs(datatype, dtype), request_id="seven")
    assert answer.as_numpy("predictions").tolist() == [[321.0], [100.0]]
    assert (answer.get_response().id, answer.get_response().model_version) == ("seven", "1")


def test_versions_by_number_and_name(client: Any) -> None:
    for version in ("2", "better"):
        answer = client.infer("linear", linear_inputs(), model_version=version)
        assert answer.as_numpy("predictions").tolist() == [[321.25], [100.25]]


def test_strings_booleans_timestamps_and_what_is_missing(client: Any) -> None:
    def strings(*values: str) -> Any:
        return np.array([[value.encode()] for value in values], dtype=object)

    inputs = [
        tensor("age", [[1.5], [np.nan]], "FP64"),
        tensor("town", strings("Zu\u0308rich", "?"), "BYTES"),
        tensor("rooms", [[3], [4]], "INT64"),
        tensor("owner", [[True], [False]], "BOOL"),
        tensor("zone", strings("", "日本"), "BYTES"),
    ]
    outputs = [triton.InferRequestedOutput("classes"), triton.InferRequestedOutput("numbers")]
    answer = client.infer("mixed", inputs, outputs=outputs)
    assert [output.name for output in answer.get_response().outputs] == ["classes", "numbers"]
    assert [value.decode() for value in answer.as_numpy("classes").ravel()] == ["Zürich", "", "MISSING", "日本"]
    np.testing.assert_array_equal(answer.as_numpy("numbers"), [[1.5, 3.0, 1.0], [np.nan, 4.0, 0.0]])


def test_typed_contents_in_place_of_raw_ones(server: RunningServer) -> None:
    request = service_pb2.ModelInferRequest(model_name="mixed")
    tensors: list[tuple[str, str, dict[str, Any]]] = [
        ("age", "FP32", {"fp32_contents": [1.5]}),
        ("rooms", "INT16", {"int_contents": [3]}),
        ("zone", "BYTES", {"bytes_contents": ["é".encode()]}),
        ("owner", "BOOL", {"bool_contents": [True]}),
    ]
    for name, datatype, contents in tensors:
        request.inputs.add(
            name=name, datatype=datatype, shape=[1], contents=service_pb2.InferTensorContents(**contents)
        )
    with grpc.insecure_channel(address(server)) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answer = stub.ModelInfer(request)
        assert [output.name for output in answer.outputs] == ["numbers", "class_ids", "classes"]
        assert np.frombuffer(answer.raw_output_contents[0]).tolist() == [1.5, 3.0, 1.0]
        request.inputs[0].shape[:] = [2]
        with pytest.raises(grpc.RpcError, match="input 'age' has 1 values; its shape says 2"):
            stub.ModelInfer(request)
        request.inputs[0].shape[:] = [1]
        request.raw_input_contents.append(b"x")
        with pytest.raises(grpc.RpcError, match="there are 1 raw_input_contents for 4 inputs"):
            stub.ModelInfer(request)


def test_refusals_are_grpc_statuses(client: Any) -> None:
    for model, inputs, status, message in [
        ("liner", linear_inputs(), "NOT_FOUND", "did you mean 'linear'"),
        ("linear", linear_inputs()[1:], "INVALID_ARGUMENT", "'inputs' has no column 'A'"),
        ("linear", [*linear_inputs(), tensor("D", [[1.0]], "FP64")], "INVALID_ARGUMENT", "'inputs' has column 'D'"),
        ("linear", [tensor("A", [[1.0, 2.0]], "FP64")], "INVALID_ARGUMENT", "has the shape"),
    ]:
        with pytest.raises(InferenceServerException, match=message) as caught:
            client.infer(model, inputs)
        assert caught.value.status() == f"StatusCode.{status}"
    with pytest.raises(InferenceServerException, match="there is no output 'y'"):
        client.infer("linear", linear_inputs(), outputs=[triton.InferRequestedOutput("y")])


def test_bytes_that_are_no_message_and_names_of_any_length_are_refused_in_words(server: RunningServer) -> None:
    endless = service_pb2.ModelInferRequest(model_name="é" * 20_000).SerializeToString()
    with grpc.insecure_channel(address(server)) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for request, status, message in [
            (b"\0", grpc.StatusCode.INVALID_ARGUMENT, "the 1 bytes of the request are no inference.ModelInferRequest"),
            (endless, grpc.StatusCode.NOT_FOUND, "there is no model 'éé"),
        ]:
            call = infer.future(request)
            assert (call.code(), call.details().startswith(message)) == (status, True), call.details()


def test_calls_are_counted_with_the_others(server: RunningServer, client: Any) -> None:
    key = 'penstock_requests_total{protocol="open_inference_grpc",model="linear",version="2",status="200"}'
    before = metrics(server.url).get(key, 0.0)
    client.infer("linear", linear_inputs(), model_version="2")
    wait_until(lambda: metrics(server.url).get(key) == before + 1)


def test_tokens_hold_over_grpc_and_workers_share_the_port(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open-sesame-42")
    bundle = linear_bundle(tmp_path / "b")
    arguments = ("--model-dir", bundle, "--model-name", "linear", "--token-file", str(token), "--workers", "2")
    with run_server(tmp_path, *arguments, "--grpc-port", "0") as server:
        with triton.InferenceServerClient(address(server)) as client:
            with pytest.raises(InferenceServerException, match="the request has no token") as caught:
                client.infer("linear", linear_inputs())
            assert caught.value.status() == "StatusCode.UNAUTHENTICATED"
        good = {"authorization": "Bearer open-sesame-42"}
        # Both must have taken the port, not only been started.
        wait_until(lambda: parse(server.client.get("/metrics", headers=good).text)["penstock_workers"] == 2)
        victim = server.worker_pids[0]
        os.kill(victim, signal.SIGKILL)
        # A connection that the kernel gave to the dying worker's socket is lost with it.
        wait_until(lambda: victim not in server.worker_pids)
        with triton.InferenceServerClient(address(server)) as client:
            answer = client.infer("linear", linear_inputs(), headers=good)
            assert answer.as_numpy("predictions").tolist() == [[321.0], [100.0]]


def test_it_cannot_scale_to_zero(tmp_path: Path) -> None:
    arguments = ("--model-dir", linear_bundle(tmp_path / "b"), "--model-name", "m", "--workers", "0:2")
    refused = refused_start("--port", "0", "--grpc-port", "0", *arguments)
    assert (refused.returncode, "--grpc-port needs a worker at all times" in refused.stderr) == (2, True)


def test_where_one_body_fits_calls_are_answered_one_after_the_other(tmp_path: Path) -> None:
    environment = {"PENSTOCK_HOME": str(tmp_path / "home")}
    with open_registry(load_settings(environment)) as registry:
        registry.create_model("linear")
        registry.create_version("linear", "v1", linear_bundle(tmp_path / "1"))
    bounds = ["--max-body-mb", "1", "--max-in-flight-mb", "1"]
    with (
        run_server(tmp_path, "--grpc-port", "0", *bounds, environment=environment) as running,
        triton.InferenceServerClient(address(running)) as client,
        ThreadPoolExecutor(8) as callers,
    ):
        answers = list(callers.map(lambda _: client.infer("linear", linear_inputs()), range(40)))
        with pytest.raises(InferenceServerException, match=r"larger than max"):
            client.infer("linear", [tensor(name, np.zeros((60_000, 1)), "FP64") for name in COLUMNS])
    assert len({answer.as_numpy("predictions").tobytes() for answer in answers}) == 1


def test_as_many_bodies_are_read_at_once_as_fit_at_their_largest() -> None:
    assert Limits().largest_bodies == 16
    assert Limits(body_bytes=100, bodies_bytes=399).largest_bodies == 3
    assert Limits(body_bytes=100, bodies_bytes=50).largest_bodies == 1
