"""Why a request is refused, and the HTTP status that says so. The only place where errors become statuses."""

from enum import Enum

from penstock.errors import (
    InstanceError,
    NotFoundError,
    PenstockError,
    PreconditionError,
    ServiceError,
    UsageError,
)

__all__ = ["Code", "Refusal", "refusal_of"]


class Code(Enum):
    """Canonical status codes (google.rpc.Code) with the HTTP statuses TensorFlow Serving gives them."""

    INVALID_ARGUMENT = 400
    UNAUTHENTICATED = 401
    PERMISSION_DENIED = 403
    NOT_FOUND = 404
    METHOD_NOT_ALLOWED = 405
    TIMEOUT = 408
    ABORTED = 409
    TOO_LARGE = 413
    RESOURCE_EXHAUSTED = 429
    CANCELLED = 499
    INTERNAL = 500
    UNIMPLEMENTED = 501
    UNAVAILABLE = 503
    DEADLINE_EXCEEDED = 504

    @property
    def http_status(self) -> int:
        return self.value

    @property
    def rpc_name(self) -> str:
        """The name in a google.rpc.Status; HTTP's own refusals are invalid arguments there."""
        return "INVALID_ARGUMENT" if self in _OF_HTTP else self.name


_OF_HTTP = {Code.METHOD_NOT_ALLOWED, Code.TIMEOUT, Code.TOO_LARGE}


class Refusal(Exception):  # noqa: N818 - the field calls it that
    """A request that gets no prediction. retry_after_s: when to try again, where that can help."""

    def __init__(self, code: Code, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message.encode(errors="backslashreplace").decode()  # callers may have sent half a character
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Headers that belong to this refusal, besides the content type."""
        if self.code is Code.UNAUTHENTICATED:
            return [("www-authenticate", "Bearer")]
        return [] if self.retry_after_s is None else [("retry-after", str(self.retry_after_s))]


def refusal_of(error: Exception) -> Refusal:
    """The refusal that tells a caller of this error. What is not in the error tree is a bug, and told as such."""
    match error:
        case Refusal():
            return error
        case InstanceError() | UsageError():
            return Refusal(Code.INVALID_ARGUMENT, str(error))
        case NotFoundError():
            return Refusal(Code.NOT_FOUND, str(error))
        case PreconditionError():
            return Refusal(Code.INVALID_ARGUMENT, str(error))
        case ServiceError():
            return Refusal(Code.UNAVAILABLE, str(error))
        case PenstockError():
            return Refusal(Code.INTERNAL, str(error))
        case _:
            return Refusal(Code.INTERNAL, f"the server failed on this request: {type(error).__name__}: {error}")
