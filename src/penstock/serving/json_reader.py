"""Request bodies as JSON, read the way TensorFlow Serving reads them: NaN, Inf and Infinity as bare tokens, text after
the first value tolerated."""

import json
import re
from typing import Any

import orjson

from penstock.serving.refusals import Code, Refusal

__all__ = ["read_json"]

_INF_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")|\bInf\b', re.DOTALL)
_lenient = json.JSONDecoder()


def read_json(body: bytes) -> Any:
    """The first JSON value of `body`. Raises Refusal saying where it stops being JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _read_leniently(body, error)


def _read_leniently(body: bytes, error: orjson.JSONDecodeError) -> Any:
    if not body.strip():
        raise _refusal("The document is empty")
    try:
        text = body.decode()
    except UnicodeDecodeError as wrong:
        raise _refusal(f"Invalid UTF-8 at offset: {wrong.start}") from None
    text = text.lstrip()
    if "Inf" in text:
        text = _INF_TOKEN.sub(lambda match: match[1] or "Infinity", text)
    try:
        value, _ = _lenient.raw_decode(text)
    except RecursionError:
        raise _refusal("The document is nested too deeply") from None
    except json.JSONDecodeError:
        raise _refusal(f"{error.msg.partition(': line')[0]} at offset: {error.pos}") from None
    except ValueError as wrong:
        raise _refusal(str(wrong)) from None
    return value


def _refusal(reason: str) -> Refusal:
    return Refusal(Code.INVALID_ARGUMENT, f"JSON Parse error: {reason}")
