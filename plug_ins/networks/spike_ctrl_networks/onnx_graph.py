"""One step of any torch module as an ONNX graph, which flies without torch: see `network_graph`.

    graph = graph_of(module, inputs=18, outputs=4)
    checkpoint.save(path, weights_of(module), contract, graph=graph)

The graph holds no weights, so one graph serves a whole training; the weights of each checkpoint lie beside it.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from spike_ctrl._files.errors import UsageError
from spike_ctrl_networks.network_graph import (
    ACTION,
    INITIAL_STATE,
    MAX_IR_VERSION,
    NEXT_STATE,
    OBSERVATION,
    OPSET,
    STATE,
    TYPES,
)
from spike_ctrl_networks.onnx_runtime import OnnxPolicy
from spike_ctrl_networks.state_parts import leaves

BATCHES, STEPS, SEED = (1, 7), 25, 0
TOLERANCE = 1e-5
AT_A_THRESHOLD = 0.01  # share of rows in which a spike may fall the other way, because sums are rounded otherwise


class OnnxGraphError(UsageError):
    """A module that cannot be written as a graph. One line: the module, why, what is wanted."""

    def __init__(self, module: nn.Module, why: str):
        super().__init__(f"{type(module).__name__}: {why}")


def weights_of(module: nn.Module) -> dict[str, np.ndarray]:
    """Parameters and buffers of a module by their names in its state_dict, as a checkpoint keeps them."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in module.state_dict().items()}


def graph_of(module: nn.Module, inputs: int = 18, outputs: int = 4) -> bytes:
    """One step of the module as an ONNX graph, without its weights.

    The module has `initial_state(batch)` and `step(observation [batch, inputs], state) -> (action [batch, outputs], state)`.
    Its state is a tensor [batch, ...] or a nested tuple of them. Its initial state is the same constant for each vehicle.
    The graph is compared with the module on random flights of 1 and of 7 vehicles. Raises OnnxGraphError.
    """
    training = module.training
    module.eval()
    try:
        first = _initial_state(module)
        data = _export(module, first, inputs)
        try:
            policy = OnnxPolicy(data, weights_of(module))
        except UsageError as error:
            raise OnnxGraphError(module, f"its graph is refused: {error}") from None
        if (policy.inputs, policy.outputs) != (inputs, outputs):
            raise OnnxGraphError(module, f"action: found {policy.outputs} numbers, wanted {outputs}")
        _compare(module, policy)
        return data
    finally:
        module.train(training)


def nested(like: Any, flat: Iterator[torch.Tensor]) -> Any:
    """The nested tuple `like` with these tensors in it, in order."""
    if not isinstance(like, tuple):
        return next(flat)
    parts = [nested(part, flat) for part in like]
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)


class _Step(nn.Module):
    """The module's step as a function of observation, state and weights, all of them flat."""

    def __init__(self, module: nn.Module, state: Any):
        super().__init__()
        self._held = [_Called(module)]  # not as a submodule: its weights come as inputs
        self._state, self._names = state, list(module.state_dict())
        self._parts = len(leaves(state))

    def forward(self, observation: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor, ...]:
        state = nested(self._state, iter(rest[: self._parts]))
        weights = {f"module.{name}": weight for name, weight in zip(self._names, rest[self._parts :], strict=True)}
        action, after = torch.func.functional_call(self._held[0], weights, (observation, state), tie_weights=False)
        # A part that goes out as it came in would have two names.
        return (action, *(part.clone() for part in leaves(after)))


class _Called(nn.Module):
    def __init__(self, module: Any):
        super().__init__()
        self.module = module

    def forward(self, observation: torch.Tensor, state: Any) -> Any:
        return self.module.step(observation, state)


def _initial_state(module: Any) -> Any:
    """Of one vehicle, once it is known that every vehicle has the same."""
    one, many = module.initial_state(1), module.initial_state(7)
    for part, parts in zip(leaves(one), leaves(many), strict=True):
        if not isinstance(part, torch.Tensor) or part.ndim < 1 or part.shape[0] != 1 or parts.shape != (7, *part.shape[1:]):
            raise OnnxGraphError(module, "initial_state: wanted tensors [batch, ...] in tuples")
        if part.requires_grad:
            raise OnnxGraphError(module, "initial_state: found one that is learned, wanted constants")
        if not torch.equal(part.expand_as(parts), parts):
            raise OnnxGraphError(module, "initial_state: found vehicles that differ, wanted the same for each")
    for name, tensor in (("state", part) for part in leaves(one)):
        _check_type(module, name, tensor)
    for name, tensor in module.state_dict().items():
        _check_type(module, name, tensor)
        if name in (OBSERVATION, ACTION) or name.startswith((STATE, NEXT_STATE, INITIAL_STATE)):
            raise OnnxGraphError(module, f"{name}: this name of a weight is the graph's own, wanted another")
    return one


def _check_type(module: nn.Module, name: str, tensor: torch.Tensor) -> None:
    wanted = [str(kind) for kind in TYPES.values()]
    if (found := str(tensor.dtype).removeprefix("torch.")) not in wanted:
        raise OnnxGraphError(module, f"{name}: found {found}, wanted {', '.join(wanted)}")


def _export(module: nn.Module, first: Any, inputs: int) -> bytes:
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise OnnxGraphError(module, f"the package {error.name} is not installed: pip install onnx onnxscript") from None
    weights, parts = module.state_dict(), leaves(first)
    batch = torch.export.Dim("vehicles")
    given = (torch.zeros(3, inputs), *(part.expand(3, *part.shape[1:]).clone() for part in parts), *weights.values())
    free = ({0: batch}, tuple({0: batch} if index < len(parts) else {} for index in range(len(given) - 1)))
    states = [f"{STATE}{index}" for index in range(len(parts))]
    names = [OBSERVATION, *states, *weights], [ACTION, *(f"{NEXT_STATE}{index}" for index in range(len(parts)))]
    program: Any
    try:
        with torch.no_grad(), _silence():
            traced = torch.export.export(_Step(module, first), given, dynamic_shapes=free, strict=False)
            program = torch.onnx.export(
                traced, dynamo=True, opset_version=OPSET, verbose=False, input_names=names[0], output_names=names[1]
            )
    except Exception as error:  # the exporter raises what it finds, from many packages
        raise OnnxGraphError(module, f"step cannot be written as ONNX: {_reason(error)}") from error
    model = program.model_proto
    return _plain(onnx, model, parts)


def _plain(onnx: Any, model: Any, first: list[torch.Tensor]) -> bytes:
    """The model with its initial state, and without what tells where it was made."""
    graph = model.graph
    for node in graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.value_info):
        del value.metadata_props[:]
    del graph.value_info[:], graph.metadata_props[:], model.metadata_props[:]
    graph.ClearField("doc_string")
    graph.name, model.producer_name, model.producer_version, model.ir_version = "step", "spike_ctrl", "", MAX_IR_VERSION
    for index, part in enumerate(first):
        graph.initializer.append(onnx.numpy_helper.from_array(part.numpy(), f"{INITIAL_STATE}{index}"))
    found: bytes = model.SerializeToString(deterministic=True)
    return found


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what the exporter tells of itself off the terminal: what is of use comes with its errors."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _reason(error: BaseException) -> str:
    """The first line of what is at the bottom of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"


def _compare(module: Any, policy: OnnxPolicy) -> None:
    """Fly module and graph side by side from the module's states; raises OnnxGraphError where they differ."""
    dice, rows, apart, worst = np.random.default_rng(SEED), 0, 0, 0.0
    for batch in BATCHES:
        state = module.initial_state(batch)
        for _ in range(STEPS):
            observation = dice.standard_normal((batch, policy.inputs)).astype(np.float32)
            found, found_state = policy.step(observation, tuple(part.numpy() for part in leaves(state)))
            with torch.no_grad():
                action, state = module.step(torch.from_numpy(observation), state)
            differ = np.zeros(batch, bool)
            for ours, theirs in zip((found, *found_state), (action, *leaves(state)), strict=True):
                difference = np.abs(ours.astype(float) - theirs.numpy().astype(float)).reshape(batch, -1).max(1, initial=0.0)
                differ |= ~(difference <= TOLERANCE * (1 + np.abs(ours).max(initial=0)))
                worst = max(worst, float(difference.max()))
            rows, apart = rows + batch, apart + int(differ.sum())
    if apart > AT_A_THRESHOLD * rows:
        why = f"its graph differs from it by up to {worst:.2g} in {apart} of {rows} rows, wanted none"
        raise OnnxGraphError(module, f"{why}: a step must not depend on anything but its arguments")
