"""The Open Inference Protocol over REST, asked with Triton's own client."""

import gzip
import json
import struct
import zlib
from collections.abc import Generator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from numpy.typing import NDArray
from tests.runtime.bundles import linear_bundle, mixed_bundle
from tests.serving.servers import RunningServer, run_server
from tritonclient.utils import InferenceServerException

from penstock.registry.registry import open_registry
from penstock.settings import load_settings

COLUMNS = {"A": [1.0, 0.0], "B": [2.0, 0.0], "C": [3.0, 1.0]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningServer]:
    folder = tmp_path_factory.mktemp("open-inference")
    environment = {"PENSTOCK_HOME": str(folder / "home")}
    with open_registry(load_settings(environment)) as registry:
        registry.create_model("linear")
        registry.create_version("linear", "v1", linear_bundle(folder / "1"))
        registry.create_version("linear", "better", linear_bundle(folder / "2", offset=0.25))
        registry.create_model("mixed")
        registry.create_version("mixed", "v1", mixed_bundle(folder / "3"))
    with run_server(folder, environment=environment) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Generator[Any]:
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as asking:
        yield asking


def tensor(name: str, values: Any, datatype: str, *, binary: bool = True) -> Any:
    array = np.array(values)
    found = triton.InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array, binary_data=binary)
    return found


def linear_inputs(datatype: str = "FP64", dtype: Any = np.float64, *, binary: bool = True) -> list[Any]:
    return [tensor(name, np.array(values, dtype=dtype), datatype, binary=binary) for name, values in COLUMNS.items()]


def infer(server: RunningServer, model: str, request: dict[str, Any]) -> httpx.Response:
    return server.client.post(f"/v2/models/{model}/infer", json=request)


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("linear")
    assert client.is_model_ready("linear", "2")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("linear")
    assert metadata["versions"] == ["1", "2"]
    assert metadata["platform"] == "onnx_onnxv1"
    assert metadata["inputs"][0] == {"name": "A", "datatype": "FP64", "shape": [-1, 1]}
    assert metadata["outputs"] == [{"name": "predictions", "datatype": "FP32", "shape": [-1, 1]}]
    inputs = {item["name"]: item["datatype"] for item in client.get_model_metadata("mixed")["inputs"]}
    assert inputs == {
        "age": "FP64",
        "town": "BYTES",
        "rooms": "INT64",
        "sold": "BYTES",
        "owner": "BOOL",
        "zone": "BYTES",
    }
    index = {(item["name"], item["version"], item["state"]) for item in client.get_model_repository_index()}
    assert index == {("linear", "1", "READY"), ("linear", "2", "READY"), ("mixed", "1", "READY")}


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT64", "INT8", "UINT16"])
def test_numbers_of_every_datatype(client: Any, binary: bool, datatype: str) -> None:
    dtype = {"FP64": "f8", "FP32": "f4", "INT64": "i8", "INT8": "i1", "UINT16": "u2"}[datatype]
    answer = client.infer("linear", linear_inputs(datatype, np.dtype(dtype), binary=binary))
    assert answer.as_numpy("predictions").tolist() == [[321.0], [100.0]]
    assert answer.as_numpy("predictions").dtype == np.float32


def test_a_version_by_number_or_name_and_the_id_comes_back(client: Any) -> None:
    for version in ("2", "better"):
        answer = client.infer("linear", linear_inputs(), model_version=version, request_id="forty-two")
        assert answer.as_numpy("predictions").tolist() == [[321.25], [100.25]]
        assert answer.get_response()["model_version"] == "2"
        assert answer.get_response()["id"] == "forty-two"
    assert "id" not in client.infer("linear", linear_inputs()).get_response()


@pytest.mark.parametrize("binary", [True, False])
def test_strings_booleans_timestamps_and_what_is_missing(client: Any, binary: bool) -> None:
    def strings(values: list[str]) -> NDArray[Any]:
        return np.array([[value.encode()] for value in values], dtype=object)

    def of(name: str, array: NDArray[Any], datatype: str) -> Any:
        found = triton.InferInput(name, list(array.shape), datatype)
        return found.set_data_from_numpy(array, binary_data=binary)

    answer = client.infer(
        "mixed",
        [
            of("age", np.array([[1.5], [np.nan]]), "FP64"),
            of("town", strings(["Zu\u0308rich", "?"]), "BYTES"),
            of("rooms", np.array([[3], [4]]), "INT64"),
            of("sold", strings(["02/01/1970", ""]), "BYTES"),
            of("owner", np.array([[True], [False]]), "BOOL"),
            of("zone", strings(["", "日本"]), "BYTES"),
        ],
        outputs=[
            triton.InferRequestedOutput("classes", binary_data=binary),
            triton.InferRequestedOutput("numbers", binary_data=not binary),
        ],
    )
    assert [output["name"] for output in answer.get_response()["outputs"]] == ["classes", "numbers"]
    classes = [
        [str(value, "utf-8") if isinstance(value, bytes) else value for value in row]
        for row in answer.as_numpy("classes")
    ]
    assert classes == [["Zürich", ""], ["MISSING", "日本"]]
    np.testing.assert_array_equal(answer.as_numpy("numbers"), [[1.5, 3.0, 1.0], [np.nan, 4.0, 0.0]])


def test_timestamps_may_be_integers_of_microseconds(client: Any) -> None:
    inputs = [
        tensor("sold", np.array([[7]], dtype=np.int64), "INT64"),
        tensor("rooms", np.array([[1]], dtype=np.int32), "INT32"),
        tensor("zone", np.array([[b"a"]], dtype=object), "BYTES"),
    ]
    assert client.infer("mixed", inputs).as_numpy("class_ids").tolist() == [[7]]


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_compressed_requests(client: Any, compression: str) -> None:
    answer = client.infer("linear", linear_inputs(), request_compression_algorithm=compression)
    assert answer.as_numpy("predictions").tolist() == [[321.0], [100.0]]


def test_plain_json_in_and_out(server: RunningServer) -> None:
    inputs = [{"name": name, "shape": [2], "datatype": "FP32", "data": values} for name, values in COLUMNS.items()]
    answer = infer(server, "linear", {"inputs": inputs})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "model_name": "linear",
        "model_version": "1",
        "outputs": [{"name": "predictions", "datatype": "FP32", "shape": [2, 1], "data": [321.0, 100.0]}],
    }


def test_a_thousand_rows_at_once(client: Any) -> None:
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=(1000, 1)) for name in "ABC"}
    answer = client.infer("linear", [tensor(name, values, "FP64") for name, values in columns.items()])
    expected = columns["A"] + 10 * columns["B"] + 100 * columns["C"]
    np.testing.assert_allclose(answer.as_numpy("predictions"), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Z"}, "'inputs' has no column 'A'"),
        ({"shape": [3]}, "input 'A' has 2 values; its shape says 3"),
        ({"shape": [1, 2]}, "input 'A' has the shape [1, 2]; expected [rows] or [rows, 1]"),
        ({"shape": [-2]}, "input 'A' has the shape [-2]"),
        ({"shape": "x"}, "input 'A' has the shape 'x'"),
        ({"shape": [10**12]}, "its shape says 1000000000000"),
        ({"shape": [0, 2**62]}, "input 'A' has the shape [0, 4611686018427387904], which no tensor can have"),
        ({"shape": [1] * 70}, "which no tensor can have"),
        ({"datatype": "FP12"}, "input 'A' has the datatype 'FP12'; expected one of BYTES, BOOL"),
        ({"datatype": ["FP64"]}, "expected one of BYTES, BOOL"),
        ({"data": 5}, "the data of input 'A' is 5; expected a list"),
        ({"data": [1, "x"]}, "instance 1: column 'A' is 'x'; expected a number"),
        ({"parameters": {"binary_data_size": 16}}, "input 'A' has both data and binary_data_size"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(server: RunningServer, change: dict[str, Any], message: str) -> None:
    inputs = [{"name": name, "shape": [2], "datatype": "FP64", "data": values} for name, values in COLUMNS.items()]
    inputs[0] |= change
    answer = infer(server, "linear", {"inputs": inputs})
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def binary_request(
    spec: dict[str, Any], data: bytes, *, header_length: str | None = None
) -> tuple[bytes, dict[str, str]]:
    text = json.dumps({"inputs": [{"name": "zone", "shape": [1], "datatype": "BYTES", **spec}, *MIXED_REST]}).encode()
    return text + data, {"inference-header-content-length": header_length or str(len(text))}


MIXED_REST = [{"name": "rooms", "shape": [1], "datatype": "INT64", "data": [1]}]


@pytest.mark.parametrize(
    ("spec", "data", "header_length", "message"),
    [
        ({"parameters": {"binary_data_size": 5}}, struct.pack("<I", 1) + b"a", None, None),
        ({"parameters": {"binary_data_size": 5}}, struct.pack("<I", 2) + b"a", None, "does not hold 1 values of BYTES"),
        ({"parameters": {"binary_data_size": 6}}, struct.pack("<I", 1) + b"ab", None, "1 bytes beyond its 1 values"),
        ({"parameters": {"binary_data_size": 5}}, struct.pack("<I", 1) + b"\xff", None, "is not UTF-8 text"),
        ({"parameters": {"binary_data_size": 9}}, struct.pack("<I", 1) + b"a", None, "5 bytes are left"),
        ({"parameters": {"binary_data_size": -1}}, b"", None, "binary_data_size -1"),
        ({"parameters": {"binary_data_size": True}}, b"", None, "binary_data_size True"),
        ({"parameters": {"binary_data_size": 5}}, struct.pack("<I", 1) + b"aXY", None, "2 bytes are left over"),
        ({"parameters": {"binary_data_size": 5}, "shape": [10**12]}, struct.pack("<I", 1) + b"a", None, "too few for"),
        ({"parameters": {"binary_data_size": 5}, "datatype": "FP64"}, b"12345", None, "1 values of FP64 are 8"),
        ({"parameters": {"binary_data_size": 5}}, b"", "99999", "Inference-Header-Content-Length is '99999'"),
        ({"parameters": {"binary_data_size": 5}}, b"", "-1", "Inference-Header-Content-Length is '-1'"),
    ],
)
def test_binary_parts_must_be_exactly_what_they_say(
    server: RunningServer, spec: dict[str, Any], data: bytes, header_length: str | None, message: str | None
) -> None:
    body, headers = binary_request(spec, data, header_length=header_length)
    answer = server.client.post("/v2/models/mixed/infer", content=body, headers=headers)
    assert answer.status_code == (200 if message is None else 400), answer.text
    assert message is None or message in answer.json()["error"]


def test_compressed_bodies_that_are_damaged_or_swell_are_refused(server: RunningServer) -> None:
    bomb = gzip.compress(b"0" * 100_000_000)
    for body, encoding, status, message in [
        (bomb, "gzip", 413, "when unpacked"),
        (zlib.compress(b"0" * 100_000_000), "deflate", 413, "when unpacked"),
        (bomb[:-2000], "gzip", 413, "when unpacked"),
        (gzip.compress(b"{}")[:-5], "gzip", 400, "ends too early"),
        (b"nonsense", "gzip", 400, "damaged"),
        (b"nonsense", "deflate", 400, "damaged"),
        (b"{}", "br", 400, "encoded as 'br'"),
    ]:
        for path in ("/v2/models/linear/infer", "/v1/models/linear:predict"):
            answer = server.client.post(path, content=body, headers={"content-encoding": encoding})
            assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text


def test_predict_takes_compressed_json(server: RunningServer) -> None:
    body = gzip.compress(b'{"instances": [{"A": 1, "B": 2, "C": 3}]}')
    answer = server.client.post("/v1/models/linear:predict", content=body, headers={"content-encoding": "gzip"})
    assert answer.json() == {"predictions": [[321.0]]}


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v2/models/other", 404, "there is no model 'other'"),
        ("GET", "/v2/models/linear/versions/v9", 404, "model 'linear' has no version 'v9'"),
        ("GET", "/v2/models/linear/infer", 405, "is asked with POST"),
        ("POST", "/v2/models/linear", 405, "is asked with GET"),
        ("GET", "/v2/nothing", 404, "there is no GET /v2/nothing"),
        ("POST", "/v2/models/linear/infer", 400, "JSON Parse error: The document is empty"),
    ],
)
def test_other_calls_are_refused(server: RunningServer, method: str, path: str, status: int, message: str) -> None:
    answer = server.client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert message in answer.json()["error"]


def test_errors_reach_the_client_whole(client: Any) -> None:
    with pytest.raises(InferenceServerException, match=r"there is no model 'liner' .* did you mean 'linear'") as caught:
        client.infer("liner", linear_inputs())
    assert caught.value.status() == "404"
    with pytest.raises(InferenceServerException, match="there is no output 'y'; the model has predictions"):
        client.infer("linear", linear_inputs(), outputs=[triton.InferRequestedOutput("y")])
