"""Ray Serve with ONNX Runtime behind it, as its guide writes it: one replica. Arguments: model.onnx, port."""

import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import ray
from ray import serve
from starlette.requests import Request

COLUMNS = ["CRIM", "ZN", "INDUS", "NOX", "RM", "AGE", "DIS", "TAX", "PTRATIO"]


@serve.deployment(num_replicas=1, max_ongoing_requests=256)
class Housing:
    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options)

    async def __call__(self, request: Request) -> dict[str, Any]:
        instances = (await request.json())["instances"]
        rows = np.array([[row[name] for name in COLUMNS] for row in instances])
        feed = {name: rows[:, [place]] for place, name in enumerate(COLUMNS)}
        return {"predictions": self.session.run(["predictions"], feed)[0].tolist()}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        configure_logging=False,
        log_to_driver=False,
        object_store_memory=80 * 1024 * 1024,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])})
    serve.run(Housing.bind(str(Path(sys.argv[1]).resolve())), route_prefix="/predict")
    signal.pause()
