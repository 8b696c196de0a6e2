"""The error tree. Every failure that a user can cause or mend is one of these; anything else is a bug.

PenstockError
├── UsageError              the command or call itself is wrong (exit status 2)
├── NotFoundError           a named file, column, model, version or job does not exist
├── AlreadyExistsError      a name is taken
├── PreconditionError       the thing exists but is not in a state that allows this
├── MissingExtraError       an optional dependency is not installed
├── DataError               a table cannot be read or does not hold what was asked of it
│   └── ExpressionError     a recipe expression cannot be parsed or typed
├── ConfigError             an experiment, recipe or settings file is wrong
├── TrainingError           a training cannot start or go on
├── ExportError             a model cannot be written as a bundle
│   └── ParityError         the exported graph and the trainer disagree
├── StoreError              the metadata store or an artifact folder cannot be read or written
├── BundleError             a bundle is incomplete, altered or of an unknown format
├── InstanceError           a prediction request does not fit the model's signature
└── ServiceError            a prediction service refused a call or could not be reached
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "AlreadyExistsError",
    "BundleError",
    "ConfigError",
    "DataError",
    "ExportError",
    "ExpressionError",
    "InstanceError",
    "MissingExtraError",
    "NotFoundError",
    "ParityError",
    "PenstockError",
    "PreconditionError",
    "ServiceError",
    "StoreError",
    "TrainingError",
    "UsageError",
    "did_you_mean",
]


class PenstockError(Exception):
    """What was being done, the offending name and value, what was expected, and what to try next, as one paragraph."""


class UsageError(PenstockError):
    pass


class NotFoundError(PenstockError):
    pass


class AlreadyExistsError(PenstockError):
    pass


class PreconditionError(PenstockError):
    pass


class MissingExtraError(PenstockError):
    """An optional dependency is not installed.

    >>> str(MissingExtraError("beam", "running a recipe on Apache Beam"))
    "running a recipe on Apache Beam needs the extra 'beam': pip install 'penstock[beam]'"
    """

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the extra {extra!r}: pip install 'penstock[{extra}]'")
        self.extra = extra


class DataError(PenstockError):
    pass


class ExpressionError(DataError):
    pass


class ConfigError(PenstockError):
    pass


class TrainingError(PenstockError):
    pass


class ExportError(PenstockError):
    pass


class ParityError(ExportError):
    pass


class StoreError(PenstockError):
    pass


class BundleError(PenstockError):
    pass


class InstanceError(PenstockError):
    """A prediction request does not fit the model's signature.

    index: the position of the offending instance in the request, None when the whole request is at fault.
    column: the offending column, None when the instance as a whole is at fault.
    """

    def __init__(self, message: str, *, index: int | None = None, column: str | None = None) -> None:
        super().__init__(message)
        self.index = index
        self.column = column


class ServiceError(PenstockError):
    """A prediction service refused a call or could not be reached. status: HTTP status, None without an answer."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The tail of an error message about an unknown name: the closest known one, or nothing.

    >>> did_you_mean("PRICE", ["MEDV", "PRICES"])
    "; did you mean 'PRICES'?"
    """
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
