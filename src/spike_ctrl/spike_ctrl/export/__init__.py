"""Exports a policy: C for microcontrollers, NIR for neuromorphic tool chains, ONNX for inference runtimes."""


class ExportError(ValueError):
    """A policy cannot be exported. The message is one line: the field, what was found, what is wanted."""
