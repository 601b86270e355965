"""Any network as a policy: its ONNX graph, stepped by onnxruntime on one thread of the CPU."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy.voltage_input import VoltageInput
from spike_ctrl_networks.network_graph import ACTION, MAX_IR_VERSION, NEXT_STATE, OBSERVATION, OPSET, STATE, parse

State = tuple[NDArray[Any], ...]


class OnnxPolicy:
    """A network that steps in onnxruntime; a `Policy`. Equal inputs give equal actions, bit by bit, on the same machine.

    A state is a tuple of arrays [...] for one vehicle or [B, ...] for a batch. What spikes in it is not known here. voltage:
    how the last number of an observation tells the battery's; None: it does not.
    """

    def __init__(self, graph: bytes, weights: Mapping[str, NDArray[Any]], voltage: VoltageInput | None = None):
        """Raises UsageError where the graph must not run, where weights do not fit it, or where a package is missing."""
        self.graph, self.voltage = parse(graph), voltage
        states = range(len(self.graph.initial_state))
        self._states = [f"{STATE}{index}" for index in states]
        self._results = [ACTION, *(f"{NEXT_STATE}{index}" for index in states)]
        self._session = _session(self.graph.model(weights).SerializeToString())
        self._try_out(vehicles=2)

    def _try_out(self, vehicles: int) -> None:
        """Step some vehicles once: it must run, and give each vehicle its action and its state."""
        before = self.initial_state(vehicles)
        try:
            action, after = self.step(np.zeros((vehicles, self.inputs), np.float32), before)
        except Exception as error:  # onnxruntime has many kinds of errors and no common one
            raise UsageError(f"onnxruntime cannot run it: {error}") from None
        found, wanted = (
            [part.shape for part in (action, *after)],
            [(vehicles, self.outputs), *(part.shape for part in before)],
        )
        if found != wanted:
            raise UsageError(f"results of {vehicles} vehicles: found shapes {found}, wanted {wanted}")

    def __str__(self) -> str:
        return f"ONNX, {self.graph.nodes} operators; flown by onnxruntime"

    @property
    def inputs(self) -> int:
        """Numbers in an observation."""
        return self.graph.inputs

    @property
    def outputs(self) -> int:
        """Numbers in an action."""
        return self.graph.outputs

    def initial_state(self, batch: int | None = None) -> State:
        """The state before the first step, for one vehicle (None) or for a batch."""
        if batch is None:
            return tuple(first.copy() for first in self.graph.initial_state)
        return tuple(np.repeat(first[None], batch, axis=0) for first in self.graph.initial_state)

    def step(self, observation: NDArray[Any], state: State) -> tuple[NDArray[Any], State]:
        """One control step: observation [in] or [B, in] to action [out] or [B, out], and the next state."""
        if observation.ndim == 1:
            action, after = self.step(observation[None], tuple(part[None] for part in state))
            return action[0], tuple(part[0] for part in after)
        shapes = [(len(observation), *first.shape) for first in self.graph.initial_state]
        if observation.shape[1:] != (self.inputs,) or [part.shape for part in state] != shapes:
            wanted = f"({len(state[0]) if state else 'vehicles'}, {self.inputs})"
            raise ValueError(f"observation: found shape {observation.shape}, wanted {wanted}")
        fed = {OBSERVATION: observation.astype(np.float32, copy=False), **dict(zip(self._states, state, strict=True))}
        action, *after = self._session.run(self._results, fed)
        return action, tuple(after)

    def reset_rows(self, state: State, mask: NDArray[Any]) -> State:
        """The state of a batch with the vehicles of the mask [B] back at the initial state."""
        rows = np.asarray(mask, bool)
        if any(rows.shape != part.shape[:1] for part in state):
            raise ValueError(f"mask: found shape {rows.shape}, wanted ({len(state[0])},)")
        reset = tuple(part.copy() for part in state)
        for part, first in zip(reset, self.graph.initial_state, strict=True):
            part[rows] = first
        return reset

    def spike_rates(self, state: State) -> tuple[float, ...]:
        """(): a graph does not say which of its numbers are spikes."""
        return ()


def warm_up() -> None:
    """Check, load and step a network of one number, where the packages are installed.

    The first network of a process has other threads wait for the interpreter for 20 ms and more, the next ones for 2.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError:
        return
    face = [onnx.helper.make_tensor_value_info(name, 1, ["vehicles", 1]) for name in (OBSERVATION, ACTION)]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Tanh", [OBSERVATION], [ACTION])], "one", face[:1], face[1:])
    versions = {"opset_imports": [onnx.helper.make_opsetid("", OPSET)], "ir_version": MAX_IR_VERSION}
    policy = OnnxPolicy(onnx.helper.make_model(graph, **versions).SerializeToString(), {})
    policy.step(np.zeros(1, np.float32), policy.initial_state())


def _session(graph: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError:
        text = "the package onnxruntime is not installed, wanted to run the network's graph: pip install onnxruntime"
        raise UsageError(text) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # none but fatal ones: errors are raised
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has many kinds of errors and no common one
        raise UsageError(f"onnxruntime refuses it: {error}") from None
