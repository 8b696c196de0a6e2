"""FastAPI + ONNX Runtime as its users write it, on Uvicorn with uvloop and httptools. Arguments: model.onnx, port."""

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

COLUMNS = ["CRIM", "ZN", "INDUS", "NOX", "RM", "AGE", "DIS", "TAX", "PTRATIO"]

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options)
app = FastAPI()


class Row(BaseModel):
    CRIM: float
    ZN: float
    INDUS: float
    NOX: float
    RM: float
    AGE: float
    DIS: float
    TAX: float
    PTRATIO: float


class Request(BaseModel):
    instances: list[Row]


@app.post("/predict")
async def predict(request: Request) -> dict[str, list[list[float]]]:
    rows = np.array([[getattr(row, name) for name in COLUMNS] for row in request.instances])
    feed = {name: rows[:, [place]] for place, name in enumerate(COLUMNS)}
    (predictions,) = session.run(["predictions"], feed)
    return {"predictions": predictions.tolist()}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error", access_log=False)
