"""Ways to move tensors between the ranks of one run. Knows no ONNX."""
