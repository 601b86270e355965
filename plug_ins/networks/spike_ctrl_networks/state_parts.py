"""The tensors of what a network remembers, one by one: a graph takes and gives them so."""

import torch

from spike_ctrl.snn.network_state import State


def leaves(state: State) -> list[torch.Tensor]:
    """The tensors of a state, in order."""
    return [state] if isinstance(state, torch.Tensor) else [leaf for part in state for leaf in leaves(part)]
