"""What models, versions and labels may be called."""

import re
from collections.abc import Mapping

from penstock.errors import UsageError

__all__ = ["LABELS_LIMIT", "check_labels", "check_name"]

LABELS_LIMIT = 64

# The API's document only rules out '/', and TensorFlow Serving's paths ':'. But a name is also a folder, and that of a
# version must not look like a number, by which a version is called as well.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}")


def check_name(name: str, *, of: str) -> str:
    """The name, if a model or version may have it. Raises UsageError, in which `of` says of what it is."""
    if _NAME.fullmatch(name):
        return name
    raise UsageError(
        f"{name!r} cannot be the name of a {of}: expected a letter followed by at most 127 letters, digits, '_', '-' "
        "or '.', such as 'housing_prices' or 'v1'"
    )


def check_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels, if there are at most 64 of them and each has a key. Raises UsageError."""
    for key, value in labels.items():
        if not key or len(key) > 128 or len(value) > 1024:
            raise UsageError(
                f"label {key[:40]!r}={value[:40]!r} cannot be kept: expected a key of 1 to 128 characters and a value "
                "of at most 1,024"
            )
    if len(labels) > LABELS_LIMIT:
        raise UsageError(f"there are {len(labels)} labels; expected at most {LABELS_LIMIT}")
    return dict(labels)
