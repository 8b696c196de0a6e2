"""The client against a real `penstock serve`, and against servers that misbehave."""

import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest

from penstock.client.client import Client
from penstock.errors import InstanceError, ServiceError, UsageError


@pytest.fixture
def client(prediction_server: str) -> Generator[Client]:
    with Client(prediction_server) as opened:
        yield opened


def test_rows_columns_and_data_frames_get_the_same_predictions(client: Client) -> None:
    rows = [{"RM": 6.5, "TAX": 10}, {"RM": 7.0, "TAX": 20}]
    expected = [[6510.0], [7020.0]]
    assert client.predict("houses", rows) == expected
    assert client.predict("houses", {"RM": [6.5, 7.0], "TAX": (10, 20)}) == expected
    assert client.predict("houses", {"RM": np.array([6.5, 7.0]), "TAX": np.array([10, 20])}) == expected
    assert client.predict("houses", pd.DataFrame(rows)) == expected


def test_versions_are_asked_for_by_name_and_number(client: Client) -> None:
    for version in (1, "1", "v1", None):
        assert client.predict("houses", [{"RM": 1.0, "TAX": 1}], version=version) == [[1001.0]]


def test_no_rows_get_no_predictions(client: Client) -> None:
    assert client.predict("houses", []) == []
    assert client.predict("houses", pd.DataFrame({"RM": [], "TAX": []})) == []


def test_missing_values_go_as_null(client: Client) -> None:
    frame = pd.DataFrame({"RM": [1.0, 2.0], "TAX": [5, None]})
    first, second = client.predict("houses", frame)
    assert first == [1005.0]
    assert second[0] != 1005.0


def test_the_servers_words_come_through(client: Client) -> None:
    with pytest.raises(ServiceError, match=r"instance 1 .*'RM'") as caught:
        client.predict("houses", [{"RM": 1.0}, {"TAX": 1}])
    assert caught.value.status == 400
    with pytest.raises(ServiceError, match="nowhere") as caught:
        client.predict("nowhere", [{"RM": 1.0}])
    assert caught.value.status == 404
    with pytest.raises(ServiceError, match="v9") as caught:
        client.predict("houses", [{"RM": 1.0}], version="v9")
    assert caught.value.status in (400, 404)


def test_status_and_metadata_of_a_model(client: Client) -> None:
    (status,) = client.status("houses")
    assert (status.version, status.is_available, status.error_code) == (1, True, "OK")
    assert client.status("houses", version=1) == [status]
    metadata = client.metadata("houses")
    assert metadata["model_spec"]["name"] == "houses"
    inputs = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]
    assert set(inputs) == {"RM", "TAX"}
    with pytest.raises(ServiceError, match="Could not find any versions of model nowhere"):
        client.status("nowhere")


def test_threads_share_a_client(client: Client) -> None:
    answers: list[object] = []

    def ask(rooms: float) -> None:
        answers.append((rooms, client.predict("houses", [{"RM": rooms, "TAX": 0}])))

    threads = [threading.Thread(target=ask, args=(float(rooms),)) for rooms in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers, key=str) == sorted(((float(n), [[n * 1000.0]]) for n in range(16)), key=str)


def test_an_address_where_nobody_listens_says_how_to_start_a_server() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServiceError, match="`penstock serve`") as caught:
        client.predict("m", [{"RM": 1.0}])
    assert caught.value.status is None


@pytest.mark.parametrize("url", ["localhost:8501", "ftp://host", "http://", "", "http://[::1", "127.0.0.1"])
def test_an_address_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="the server's address"):
        Client(url)


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def server_that(answer: Answer) -> Generator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self)

        def log_request(self, code: object = "-", size: object = "-") -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def send(handler: BaseHTTPRequestHandler, body: bytes, *, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (200, b"<html>hello</html>", "is it a prediction server?"),
        (200, b"[]", "is it a prediction server?"),
        (200, b"{}", "expected 1 predictions"),
        (200, b'{"predictions": [1, 2]}', "expected 1 predictions"),
        (502, b"<h1>Bad Gateway</h1>", "answered 502: <h1>Bad Gateway</h1>"),
        (500, b"", "answered 500"),
        (503, b'{"error": "loading"}', "^loading$"),
        (404, b'{"error": {"code": 404, "message": "no such model", "status": "NOT_FOUND"}}', "^no such model$"),
        (400, b'{"error": 7}', "answered 400"),
    ],
)
def test_answers_of_other_servers_are_told_as_they_are(status: int, body: bytes, complaint: str) -> None:
    with server_that(lambda handler: send(handler, body, status=status)) as url, Client(url) as client:
        with pytest.raises(ServiceError, match=complaint) as caught:
            client.predict("m", [{"RM": 1.0}])
        assert caught.value.status == status


def test_bare_nan_in_an_answer_is_read() -> None:
    with server_that(lambda handler: send(handler, b'{"predictions": [NaN]}')) as url, Client(url) as client:
        (prediction,) = client.predict("m", [{"RM": 1.0}])
    assert np.isnan(prediction)


def test_a_server_that_takes_too_long_is_given_up() -> None:
    released = threading.Event()

    def wait_then_hang_up(handler: BaseHTTPRequestHandler) -> None:
        released.wait(10)
        handler.close_connection = True

    with server_that(wait_then_hang_up) as url:
        with Client(url, timeout_s=0.2) as client, pytest.raises(ServiceError, match=r"did not answer within 0\.2 s"):
            client.predict("m", [{"RM": 1.0}])
        released.set()


def test_a_connection_that_breaks_once_is_tried_again() -> None:
    calls: list[int] = []

    def break_the_first(handler: BaseHTTPRequestHandler) -> None:
        calls.append(1)
        if len(calls) == 1:
            handler.close_connection = True
        else:
            send(handler, b'{"predictions": [1.5]}')

    with server_that(break_the_first) as url, Client(url) as client:
        assert client.predict("m", [{"RM": 1.0}]) == [1.5]
    assert len(calls) == 2


def test_a_connection_that_always_breaks_is_an_error() -> None:
    def break_off(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True

    with (
        server_that(break_off) as url,
        Client(url) as client,
        pytest.raises(ServiceError, match=r"the connection to http://.* broke"),
    ):
        client.predict("m", [{"RM": 1.0}])


def test_the_token_of_the_call_or_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []

    def note(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers["Authorization"])
        send(handler, b'{"predictions": [0]}')

    with server_that(note) as url:
        with Client(url, token="mine") as client:
            client.predict("m", [1])
        monkeypatch.setenv("PENSTOCK_SERVER_URL", url)
        with Client() as client:
            client.predict("m", [1])
        monkeypatch.setenv("PENSTOCK_TOKEN", "theirs")
        with Client() as client:
            client.predict("m", [1])
    assert seen == ["Bearer mine", None, "Bearer theirs"]


def test_a_connection_is_kept_alive() -> None:
    ports: set[int] = set()

    def note(handler: BaseHTTPRequestHandler) -> None:
        ports.add(handler.client_address[1])
        send(handler, b'{"predictions": [0]}')

    with server_that(note) as url, Client(url) as client:
        for _ in range(5):
            client.predict("m", [1])
    assert len(ports) == 1


def test_names_are_quoted_in_paths() -> None:
    paths: list[str] = []

    def note(handler: BaseHTTPRequestHandler) -> None:
        paths.append(handler.path)
        send(handler, b'{"predictions": [0]}')

    with server_that(note) as url, Client(f"{url}/behind/a/proxy/") as client:
        client.predict("a/b c", [1], version="v:1")
    assert paths == ["/behind/a/proxy/v1/models/a%2Fb%20c/labels/v%3A1:predict"]


def test_rows_that_cannot_be_sent_are_refused_before_the_call() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(InstanceError, match="instance 1, column 'RM': inf"):
        client.predict("m", [{"RM": 1.0}, {"RM": float("inf")}])


def test_importing_the_client_is_light() -> None:
    code = "import penstock.client.client, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"httpx", "numpy", "pandas", "sqlalchemy", "onnxruntime", "fsspec", "click"}
