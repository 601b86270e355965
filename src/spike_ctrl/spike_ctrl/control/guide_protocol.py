"""What can teach and hand over: the face that every guide shows to training and evaluation."""

from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from spike_ctrl._files import named_object
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl.airframe import Airframe

METHODS = ("initial_state", "act", "reset_rows")


@runtime_checkable
class Guide(Protocol):
    """A controller of N vehicles at once. It holds no state of a flight: what it remembers goes in and comes out.

    >>> from spike_ctrl.control.geometric_guide import GeometricGuide
    >>> isinstance(GeometricGuide("crazyflie"), Guide)
    True
    """

    def initial_state(self, vehicles: int) -> Any:
        """What it remembers before the first step."""

    def act(
        self,
        observation: NDArray[Any],
        state: Any,
        rotor_speed: NDArray[Any] | None = None,
        disturbance: NDArray[Any] | None = None,
        plant: NDArray[Any] | None = None,
    ) -> tuple[NDArray[Any], Any]:
        """Actions (N, 4) in [-1, 1], as the airframe's layout says, and the next state.

        observation (N, 18) as the policy has it. The rest is privileged, and None where it is not known: rotor_speed
        (N, 4) normalised; disturbance (N, 6), force N in the world and torque N m in the body; plant (N, PLANT_SIZE), the
        true parameters as `dynamics.nominal_plant` orders them, None also for the nominal ones.
        """

    def reset_rows(self, state: Any, mask: NDArray[Any]) -> Any:
        """The state with the vehicles of the mask (N,) back at the initial state: they begin a new episode."""


def make(named: NamedObject, key: str, airframe: Airframe) -> Guide:
    """The guide that a class makes for an airframe. key: what errors call it. Raises UsageError where it is none."""
    guide = named.make(key, airframe)
    named_object.require(guide, METHODS, key, named.name)
    return guide  # type: ignore[no-any-return]
