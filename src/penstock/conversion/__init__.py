"""Models of other libraries as ONNX graphs with a signature. Knows their files, and nothing of registry or commands."""
