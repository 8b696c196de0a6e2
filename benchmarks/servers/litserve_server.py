"""LitServe with ONNX Runtime behind it. Arguments: model.onnx, port."""

import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime

COLUMNS = ["CRIM", "ZN", "INDUS", "NOX", "RM", "AGE", "DIS", "TAX", "PTRATIO"]


class Housing(litserve.LitAPI):
    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[1], options)

    def decode_request(self, request: dict[str, Any]) -> Any:
        return np.array([[row[name] for name in COLUMNS] for row in request["instances"]])

    def predict(self, rows: Any) -> Any:
        feed = {name: rows[:, [place]] for place, name in enumerate(COLUMNS)}
        return self.session.run(["predictions"], feed)[0]

    def encode_response(self, predictions: Any) -> dict[str, Any]:
        return {"predictions": predictions.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Housing(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="error")
