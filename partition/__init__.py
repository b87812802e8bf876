"""The compiler: ONNX graph + strategy -> bundle."""
