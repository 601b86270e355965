"""What a function that is inserted into a control step sees of the vehicles."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from spike_ctrl._files.arrays import Flags, Floats, Sums
from spike_ctrl.airframe import Airframe
from spike_ctrl.sim import dynamics

if TYPE_CHECKING:
    from typing import Self  # not in Python 3.10


class Field:
    """Some rows of the state as a read-only copy, vehicle by vehicle. rows: None for what is not kept there."""

    def __init__(self, rows: slice | int | None, unit: str) -> None:
        self.rows: Any = rows
        self.unit = unit
        self.__doc__ = unit

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, step: None, owner: type) -> Self: ...

    @overload
    def __get__(self, step: StepView, owner: type) -> Floats: ...

    def __get__(self, step: StepView | None, owner: type) -> Self | Floats:
        if step is None:
            return self
        if self.rows is None:
            raise AttributeError(f"{self.name} is not known at the step {step.name}")
        found = self.read(step._buffer, step.vehicles)
        found.flags.writeable = False
        step.__dict__[self.name] = found  # which Python finds before this descriptor
        return found

    def read(self, buffer: Floats, vehicles: int) -> Floats:
        """A copy of the rows: (N, rows), or (N,) for one."""
        return dynamics.read(buffer, self.rows, vehicles)


@dataclass(eq=False, repr=False)
class StepView:
    """N vehicles at one step of the pipeline: read-only float32 arrays, world ENU, body FLU, SI units.

    A function that is inserted gives what is to take the place of a field, or None.

    >>> import numpy as np
    >>> from spike_ctrl import make_env
    >>> def breeze(step: StepView):
    ...     return step.force + np.array([0.01, 0, 0])  # N, to the east
    >>> environment = make_env("crazyflie", vehicles=4, inserts={"wind": breeze})
    >>> observation, info = environment.reset(seed=1)
    >>> stepped = environment.step(np.zeros((4, 4)))
    >>> round(float(environment.disturbance[0, 0]), 3)
    0.01
    """

    position = Field(slice(0, 3), "(N, 3) m, world")
    quaternion = Field(slice(3, 7), "(N, 4) x, y, z, w, body to world, of norm 1")
    velocity = Field(slice(7, 10), "(N, 3) m/s, world")
    rates = Field(slice(10, 13), "(N, 3) rad/s, body")
    rotors = Field(dynamics.ROTOR_ROWS, "(N, 4) normalised rotor speeds in 0..1")
    mass = Field(dynamics.MASS, "(N,) kg, above 0")
    inertia = Field(slice(dynamics.INERTIA, dynamics.THRUST), "(N, 3) kg m^2 about the body's axes, above 0")
    thrust_curve = Field(slice(dynamics.THRUST, dynamics.TORQUE), "(N, 3) N of one rotor: c0 + c1 r + c2 r^2")
    linear_drag = Field(dynamics.LINEAR_DRAG, "(N,) N s/m")
    target = Field(slice(dynamics.TARGET, dynamics.TARGET_COS), "(N, 3) set-point, m, world")
    force = Field(slice(dynamics.FORCE, dynamics.MOMENT), "(N, 3) N on the vehicle, world")
    torque = Field(slice(dynamics.MOMENT, dynamics.TARGET), "(N, 3) N m on the vehicle, body")
    u = Field(dynamics.COMMAND_ROWS, "(N, 4) rotor commands in 0..1; before the step dynamics, the last ones")
    action = Field(None, "(N, 4) in -1..1; at the step actuation")
    reward = Field(None, "(N,) of the control step; at the step reward")
    observation = Field(None, "(N, 18) as the policy is to see it; at the steps sensors and observation")

    name: str
    """Of the step: wind."""
    airframe: Airframe
    """As it is described; the vehicles' own mass, inertia and so on may differ."""
    dt: float
    """s, of a control step."""
    time: Sums
    """(N,) s since the episode began."""
    begun: Flags
    """(N,) bool: the vehicle's episode has begun since this function was called last."""
    flying: Flags
    """(N,) bool: False where this control step only begins the next episode, and what is given of it does not count."""
    random: np.random.Generator
    """Draws that follow from the environment's seed and are this function's alone."""
    memory: dict[str, Any]
    """What this function remembers, empty after `reset(seed=...)`."""
    _buffer: Floats
    given: InitVar[dict[str, Floats]]

    def __post_init__(self, given: dict[str, Floats]) -> None:
        self.vehicles = len(self.time)
        """N"""
        for key, value in given.items():
            shown = value.view()
            shown.flags.writeable = False
            self.__dict__[key] = shown
        for mask in (self.time, self.begun, self.flying):
            mask.flags.writeable = False


FIELDS = {name: field for name, field in vars(StepView).items() if isinstance(field, Field)}
"""The fields of a StepView by name."""
