"""Asks a prediction server over TensorFlow Serving's REST API. Knows neither models nor bundles."""

import json
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import msgspec

from penstock.client.instances import Instances, rows_of
from penstock.errors import ServiceError, UsageError
from penstock.settings import load_settings

if TYPE_CHECKING:
    import httpx

__all__ = ["Client", "VersionStatus"]

TIMEOUT_S = 60.0


class VersionStatus(msgspec.Struct, frozen=True):
    """A version as the server sees it.

    state: START, LOADING, AVAILABLE, UNLOADING or END.
    error_code: canonical status name, "OK" unless loading failed; then error_message says why.
    """

    version: int
    state: str
    error_code: str
    error_message: str

    @property
    def is_available(self) -> bool:
        return self.state == "AVAILABLE"


class Client:
    """A connection to a prediction server, kept alive between calls. Threads may share it.

    >>> client = Client("http://127.0.0.1:8501")  # doctest: +SKIP
    >>> client.predict("housing_prices", [{"RM": 6.5, "TAX": 296.0}])  # doctest: +SKIP
    [[24310.5]]

    Every call raises ServiceError with the server's own words when it refuses, and with how to start one when none
    answers.
    """

    def __init__(self, url: str | None = None, *, token: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """url, token: default to `PENSTOCK_SERVER_URL` and `PENSTOCK_TOKEN`. timeout_s: bound on each call.

        Raises UsageError for an address that is not http:// or https://.
        """
        import httpx  # 0.3 s: not at import

        settings = load_settings()
        self.url = (settings.server_url if url is None else url).rstrip("/")
        token = settings.token if token is None else token
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise UsageError(f"the server's address {self.url!r} cannot be read: {error}") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise UsageError(f"the server's address is {self.url!r}; expected http://HOST:PORT or https://HOST")
        self._http = httpx.Client(
            timeout=httpx.Timeout(timeout_s),
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )
        self._timeout_s = timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def predict(self, model: str, instances: Instances, *, version: str | int | None = None) -> list[Any]:
        """One prediction for each row, in order.

        instances: a list of rows, a dictionary of columns, or a pandas DataFrame (see `rows_of`).
        version: a number or a name; None for the model's default version.

        A model with one output answers its value a row (a regression `[24310.5]`), one with several an object by
        output name. Raises InstanceError for rows that cannot be sent.
        """
        rows = rows_of(instances)
        if not rows:
            return []
        body = msgspec.json.encode({"instances": rows})
        answer = self._call("POST", f"{_path_of(model, version)}:predict", body)
        predictions = answer.get("predictions")
        if not isinstance(predictions, list) or len(predictions) != len(rows):
            raise ServiceError(f"{self.url} answered {_shown(answer)}; expected {len(rows)} predictions", status=200)
        return predictions

    def explain(
        self, model: str, instances: Instances, *, version: str | int | None = None, paths: int | None = None
    ) -> list[Any]:
        """One explanation for each row, in order: attributions by column, baseline and example score.

        paths: random orders of the columns that are tried for each row, where the model is not explained exactly; None
        for the server's default. Otherwise as `predict`.
        """
        rows = rows_of(instances)
        if not rows:
            return []
        request: dict[str, Any] = {"instances": rows}
        if paths is not None:
            request["parameters"] = {"num_paths": paths}
        answer = self._call("POST", f"{_path_of(model, version)}:explain", msgspec.json.encode(request))
        try:
            return [explanation["attributions_by_label"][0] for explanation in answer["explanations"]]
        except (KeyError, TypeError, IndexError) as error:
            raise ServiceError(f"{self.url} answered {_shown(answer)}; expected explanations") from error

    def status(self, model: str, *, version: str | int | None = None) -> list[VersionStatus]:
        """The versions of a model that the server knows, or the one asked for."""
        answer = self._call("GET", _path_of(model, version))
        try:
            return [
                VersionStatus(
                    version=int(entry["version"]),
                    state=entry["state"],
                    error_code=entry["status"]["error_code"],
                    error_message=entry["status"]["error_message"],
                )
                for entry in answer["model_version_status"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise ServiceError(f"{self.url} answered {_shown(answer)}; expected model_version_status") from error

    def metadata(self, model: str, *, version: str | int | None = None) -> dict[str, Any]:
        """What the model takes and gives, as TensorFlow Serving describes it: `model_spec` and `metadata`."""
        return self._call("GET", f"{_path_of(model, version)}/metadata")

    def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        import httpx

        try:
            try:
                response = self._send(method, path, body)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                # The server closed a connection that was kept alive, or a worker died: predicting again is harmless.
                response = self._send(method, path, body)
        except httpx.ConnectError as error:
            raise ServiceError(
                f"no prediction server answers at {self.url} ({error}); start one with `penstock serve`, or name "
                "another with PENSTOCK_SERVER_URL"
            ) from error
        except httpx.TimeoutException as error:
            raise ServiceError(f"{self.url} did not answer within {self._timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise ServiceError(f"the connection to {self.url} broke: {error or type(error).__name__}") from error
        return self._read(response)

    def _send(self, method: str, path: str, body: bytes | None) -> "httpx.Response":
        headers = {"Content-Type": "application/json"} if body is not None else {}
        return self._http.request(method, f"{self.url}{path}", content=body, headers=headers)

    def _read(self, response: "httpx.Response") -> dict[str, Any]:
        try:
            # The standard library's reader knows the bare NaN and Infinity that TensorFlow Serving writes.
            answer = json.loads(response.content)
        except ValueError:
            answer = None
        if response.status_code != 200:
            raise ServiceError(
                _words_of(answer) or f"{self.url} answered {response.status_code}: {response.text[:200].strip()}",
                status=response.status_code,
            )
        if not isinstance(answer, dict):
            raise ServiceError(
                f"{self.url} answered {response.text[:200]!r}, which is no JSON object; is it a prediction server?",
                status=response.status_code,
            )
        return answer


def _path_of(model: str, version: str | int | None) -> str:
    path = f"/v1/models/{quote(model, safe='')}"
    if version is None:
        return path
    if isinstance(version, int) or version.isdecimal():
        return f"{path}/versions/{version}"
    return f"{path}/labels/{quote(version, safe='')}"


def _words_of(answer: object) -> str | None:
    """The message of an error answer: TensorFlow Serving's flat text, or ML Engine's object."""
    match answer:
        case {"error": str(message)} | {"error": {"message": str(message)}}:
            return message
    return None


def _shown(answer: object) -> str:
    text = str(answer)
    return text if len(text) <= 200 else text[:200] + "…"
