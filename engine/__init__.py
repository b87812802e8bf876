"""The machine that runs one rank's program. Knows no AWS and no onnx."""
