"""What can fly: the face that every policy shows to rollouts, evaluation, replay and flight."""

from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray


@runtime_checkable
class Policy(Protocol):
    """A network that steps once per control step, for one vehicle or for a batch of B.

    The policy holds no state. What a step needs goes in and comes out, and callers do not look into it.

    >>> import numpy as np
    >>> from spike_ctrl.policy.checkpoint import load_policy
    >>> policy = load_policy("crazyflie")
    >>> action, state = policy.step(np.zeros((32, 18), np.float32), policy.initial_state(batch=32))
    >>> action.shape
    (32, 4)
    """

    @property
    def inputs(self) -> int:
        """Numbers in an observation: 18 for a vehicle, 19 with the voltage of its battery (see `voltage_input`)."""

    @property
    def outputs(self) -> int:
        """Numbers in an action: 4 for a vehicle."""

    def initial_state(self, batch: int | None = None) -> Any:
        """The state before the first step, for one vehicle (None) or for a batch."""

    def step(self, observation: NDArray[Any], state: Any) -> tuple[NDArray[Any], Any]:
        """One control step: observation [in] or [B, in] to action [out] or [B, out] in [-1, 1], and the next state."""

    def reset_rows(self, state: Any, mask: NDArray[Any]) -> Any:
        """The state of a batch with the vehicles of the mask [B] back at the initial state."""

    def spike_rates(self, state: Any) -> tuple[float, ...]:
        """Share of the neurons of each layer that spiked in the last step; () where nothing spikes."""
