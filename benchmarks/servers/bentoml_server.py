"""A BentoML service with ONNX Runtime behind it; the model's path is in HOUSING_ONNX."""

import os
from typing import Any

import bentoml
import numpy as np
import onnxruntime

COLUMNS = ["CRIM", "ZN", "INDUS", "NOX", "RM", "AGE", "DIS", "TAX", "PTRATIO"]


@bentoml.service(workers=1)
class Housing:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["HOUSING_ONNX"], options)

    @bentoml.api
    def predict(self, instances: list[dict[str, float]]) -> dict[str, Any]:
        rows = np.array([[row[name] for name in COLUMNS] for row in instances])
        feed = {name: rows[:, [place]] for place, name in enumerate(COLUMNS)}
        return {"predictions": self.session.run(["predictions"], feed)[0].tolist()}
