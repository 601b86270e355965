"""Networks in a checkpoint as the ONNX graph of their step; the policy format `onnx`."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy.voltage_input import VoltageInput
from spike_ctrl_networks import onnx_runtime
from spike_ctrl_networks.onnx_runtime import OnnxPolicy

warm_up = onnx_runtime.warm_up


def policy(graph: bytes, weights: Mapping[str, NDArray[Any]], voltage: VoltageInput | None) -> OnnxPolicy:
    """The policy of a graph and exactly its weights. Raises UsageError."""
    found = OnnxPolicy(graph, weights, voltage)
    for name in weights:
        if name not in found.graph.weights:
            raise UsageError(f"{name}: unknown tensor, wanted {', '.join(found.graph.weights)}")
    return found
