"""What a method of learning is to the learner: rows of flight go in, the actor is changed in place.

    class Mine:
        def __init__(self, recipe, airframe, vehicles, seed, actor, generator, **what_the_recipe_says): ...

recipe: `Recipe`; airframe: `Airframe`; vehicles: how many in each row; seed and generator (torch): of everything random;
actor: the network, see `actor`. Its parameters are what flies, what is averaged and what is saved.
"""

from typing import Any, Protocol, runtime_checkable

import torch
from numpy.typing import NDArray

from spike_ctrl.learn.actor import AveragedNetwork
from spike_ctrl.learn.replay_buffer import Rows

METHODS = ("receive", "update", "modules", "optimisers", "state", "restore")


@runtime_checkable
class Algorithm(Protocol):
    """A method of learning."""

    def receive(self, rows: Rows) -> None:
        """Take what N vehicles saw and did at one tick. All numbers are finite."""

    def update(self, progress: float, slope: float, average: AveragedNetwork) -> dict[str, float]:
        """The updates of one iteration, and what there is to log: {} where there is not enough flight yet.

        progress: share of the training that is done, 0 to 1. slope: k of the surrogate derivative. Call
        `average.follow(actor)` after each update of the actor.
        """

    def modules(self) -> dict[str, torch.nn.Module]:
        """Modules beside the actor that a resumed run needs, by name."""

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Optimisers that a resumed run needs, by name."""

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays, and values that JSON can hold, that a resumed run needs beside modules and optimisers."""

    def restore(self, arrays: dict[str, NDArray[Any]], info: dict[str, Any]) -> None:
        """Put back what `state` returned."""


@runtime_checkable
class Exploring(Algorithm, Protocol):
    """A method that explores in its own way, and is asked at every tick. It keeps log-probabilities and the like itself.

    The recipe's `jump_start.noise` is then not added. Such a method trains in one process (`spike-ctrl train`); in the
    ROS graph the simulator explores.
    """

    def explore(self, observation: NDArray[Any], action: NDArray[Any]) -> NDArray[Any]:
        """The actions (N, 4) to fly, from what the vehicles observe (N, 18) and the policy's own actions (N, 4).

        They are clipped to [-1, 1]; the `Rows` that `receive` gets next hold them as they were applied.
        """
