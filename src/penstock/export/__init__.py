"""Export: one ONNX graph from raw columns to predictions, proven equal to its trainer, written as a bundle."""
