"""The same policy elsewhere: C for microcontrollers, NIR for neuromorphic tool chains, ONNX for inference runtimes."""


class ExportError(ValueError):
    """A policy that cannot be written in the wanted form; one line: what, found, wanted."""
