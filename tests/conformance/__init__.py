"""ONNX's own backend tests, run whole by onnxruntime and in pieces by us."""
