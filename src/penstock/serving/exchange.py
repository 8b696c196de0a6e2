"""One request and the place for its answer, whatever carried it here."""

from time import monotonic
from typing import Any

from penstock.serving.catalog import ServedVersion
from penstock.serving.refusals import Refusal

__all__ = ["JSON", "Exchange", "Headers"]

Headers = list[tuple[str, str]]

JSON: Headers = [("content-type", "application/json")]


class Exchange:
    """A request. Carriers subclass it: `_send` gives the answer back, `header` reads what came with the request.

    client: address and port of the caller, for the log.
    started: `time.monotonic()` of its arrival.
    is_second_try: whether its version has once been gone when it was to be loaded.
    refusal: why the body was not read, where it was not.
    answer, status, sent_bytes, seconds: of the answer, once given; seconds since the arrival.
    mirror: who else is to have the answer (a `Mirror`), None for nobody.
    protocol: the name of the wire protocol whose handler took it, or "".
    model_name, version, rows: what answered it and how many instances it had, where a model did.
    """

    # Defaults of the class, not set one by one: most requests change few of them, and this runs for each request.
    body: bytes = b""
    answer: bytes = b""
    refusal: Refusal | None = None
    status: int = 0
    sent_bytes: int = 0
    rows: int = 0
    seconds: float = 0.0
    is_second_try: bool = False
    mirror: Any = None
    protocol: str = ""
    model_name: str = ""
    version: ServedVersion | None = None

    def __init__(self, method: str, path: str) -> None:
        self.method = method
        self.path = path
        self.started = monotonic()

    @property
    def client(self) -> str:
        return ""

    def header(self, name: str) -> str | None:
        """A header by its lower-case name."""
        raise NotImplementedError

    def respond(self, status: int, body: bytes, headers: Headers = JSON) -> None:
        """Gives the answer. May be called from any thread; after the first time it does nothing."""
        if self.status:
            return
        self.status = status
        self.sent_bytes = len(body)
        self.answer = body
        self.seconds = monotonic() - self.started
        self._send(status, body, headers)
        if self.mirror is not None:
            self.mirror.take("primary", status, body)

    def _send(self, status: int, body: bytes, headers: Headers) -> None:
        raise NotImplementedError
