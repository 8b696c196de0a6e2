"""An MLServer runtime with ONNX Runtime behind it, asked with the Open Inference Protocol; path in HOUSING_ONNX."""

import os

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Housing(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["HOUSING_ONNX"], options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feed = {
            tensor.name: np.array(list(tensor.data), dtype=np.float64).reshape(tensor.shape)
            for tensor in payload.inputs
        }
        (predictions,) = self.session.run(["predictions"], feed)
        output = NumpyCodec.encode_output("predictions", predictions)
        return InferenceResponse(model_name=self.name, outputs=[output])
