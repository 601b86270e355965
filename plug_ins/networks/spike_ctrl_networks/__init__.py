"""Train and fly networks of other kinds: any torch module, as the ONNX graph of its step."""
