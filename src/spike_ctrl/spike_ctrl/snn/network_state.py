"""What a network remembers from one step to the next: a tensor [B, ...], or a tuple or NamedTuple of such states."""

from collections.abc import Callable
from typing import Any

import torch

State = Any  # a tensor [B, ...], or a tuple of states


def each(function: Callable[..., torch.Tensor], state: State, *others: State) -> State:
    """The state with each tensor replaced by `function` of it and its counterparts in other states of the same form.

    Raises TypeError where the state is no state.
    """
    if isinstance(state, torch.Tensor):
        return function(state, *others)
    if not isinstance(state, tuple):
        raise TypeError(f"state: found {type(state).__name__}, wanted a tensor or a tuple of states")
    parts = [each(function, *some) for some in zip(state, *others, strict=True)]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def detach(state: State) -> State:
    """The same state with no history: where truncated back-propagation through time stops."""
    return each(torch.Tensor.detach, state)


def restart(network: Any, state: State, first: torch.Tensor) -> State:
    """The state with those rows back at the network's initial state whose mask `first` [B] is true."""

    def chosen(now: torch.Tensor, initial: torch.Tensor) -> torch.Tensor:
        mask = first.to(now.device).reshape(-1, *[1] * (now.ndim - 1))
        return torch.where(mask, initial.to(now.device), now)

    return each(chosen, state, network.initial_state(len(first)))
