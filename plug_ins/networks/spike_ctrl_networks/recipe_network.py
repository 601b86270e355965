"""A torch module that a recipe names as its network: how it is made, flown while it trains, saved, and differentiated."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from spike_ctrl._files import named_object
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl.learn import actor as actors
from spike_ctrl.learn.algorithm import Algorithm
from spike_ctrl.policy.voltage_input import VoltageInput
from spike_ctrl.snn.network_state import State
from spike_ctrl_networks.module_bptt import ModuleGradient
from spike_ctrl_networks.module_policy import ModulePolicy
from spike_ctrl_networks.onnx_graph import graph_of
from spike_ctrl_networks.state_parts import leaves

METHODS: dict[str, Callable[..., Algorithm]] = {"bptt": ModuleGradient}
"""Methods of learning that a module needs its own of; the others take any network."""


def policy(module: nn.Module, inputs: int, voltage: VoltageInput | None) -> ModulePolicy:
    """What flies the module as it is now. inputs: numbers in an observation. voltage: how the last of them tells it."""
    return ModulePolicy(module, inputs, actors.ACTION_SIZE, voltage)


def graph(module: nn.Module, inputs: int) -> bytes:
    """The module's step as checkpoints keep it beside the weights. Raises UsageError."""
    return graph_of(copy.deepcopy(module).cpu(), inputs, actors.ACTION_SIZE)


def make(code: NamedObject, inputs: int, outputs: int, generator: torch.Generator) -> nn.Module:
    """The module that a recipe names, at its random start. Raises UsageError where it does not fit."""
    with actors.seeded(generator):
        module = code.make("network", inputs=inputs, outputs=outputs, generator=generator)
    if not isinstance(module, nn.Module):
        raise UsageError(f"network: found {code} that makes {type(module).__name__}, wanted a torch.nn.Module")
    named_object.require(module, ("initial_state", "step"), "network", code.name)
    _try(module, code.name, inputs, outputs)
    return module


@torch.no_grad()
def _try(module: Any, name: str, inputs: int, outputs: int, batch: int = 3) -> None:
    """One step, so that what does not fit is named before the training and not in the midst of it."""
    state = module.initial_state(batch)
    found = module.step(torch.zeros(batch, inputs), state)
    if not isinstance(found, tuple) or len(found) != 2:
        raise UsageError(f"network: {name}.step: found {type(found).__name__}, wanted (action, state)")
    action, after = found
    if not isinstance(action, torch.Tensor) or action.shape != (batch, outputs):
        shape = tuple(action.shape) if isinstance(action, torch.Tensor) else type(action).__name__
        raise UsageError(f"network: {name}.step: found an action {shape}, wanted ({batch}, {outputs})")
    if not (action.abs() <= 1).all():
        raise UsageError(f"network: {name}.step: found an action beyond -1 to 1, wanted tanh or the like at the end")
    if (before := _form(state)) != _form(after):
        raise UsageError(f"network: {name}.step: found a state {_form(after)}, wanted {before} as it was before the step")
    for part in leaves(state):
        if part.shape[:1] != (batch,):
            found = tuple(part.shape)
            raise UsageError(f"network: {name}: found a state {found}, wanted ({batch}, ...): one row for each vehicle")


def _form(state: State) -> Any:
    """The shapes of a state's tensors, nested as they are."""
    if isinstance(state, torch.Tensor):
        return tuple(state.shape)
    if not isinstance(state, tuple):
        return type(state).__name__
    return type(state).__name__, [_form(part) for part in state]
