"""From a bundle to a callable: decoding of instances, the recipe in front of the model, the graph in ONNX Runtime."""
