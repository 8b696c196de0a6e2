"""ONNX Runtime without anything of Penstock around it."""

from collections.abc import Callable
from typing import Any

import onnxruntime
import pytest


@pytest.fixture
def plain_session() -> Callable[[bytes], Any]:
    """Of a serialized model: its session, as any user of the file would make one."""

    def make(model: bytes) -> Any:
        return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    return make
