"""Our four motor commands as the rotor speeds of a simulator that orders, names and turns its rotors in its own way.

The order is found from where the rotors are, and no table of numbers is kept: what a simulator says of its geometry decides.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY, Airframe, rotor_speed

Four = tuple[float, float, float, float]
PLACES = ("front-right", "back-right", "back-left", "front-left")


@dataclass(frozen=True)
class RotorMap:
    """The rotors of a simulated vehicle, in the simulator's own order.

    x, y: m, body FLU. spin: 1 or -1, the sign of the reaction torque about body z. top: the speed, in `unit`, that u = 1
    stands for. thrust: c0, c1, c2 of N over the speed in `unit`. mass kg.

    >>> four = dict(x=(1, 1, -1, -1), y=(1, -1, -1, 1), spin=(1, -1, 1, -1))  # the front-left rotor comes first
    >>> rotors = RotorMap(**four, top=100.0, unit="rad/s", thrust=(0, 0, 1e-4), mass=0.2)
    >>> rotors.speeds(np.array([[0.1, 0.2, 0.3, 0.4]]))
    array([[40., 10., 20., 30.]])
    """

    x: Four
    y: Four
    spin: Four
    top: float
    unit: str
    thrust: tuple[float, float, float]
    mass: float

    @property
    def order(self) -> tuple[int, ...]:
        """For each of the simulator's rotors the index of ours: front-right 0, back-right 1, back-left 2, front-left 3."""
        places = [_place(x, y) for x, y in zip(self.x, self.y, strict=True)]
        if sorted(places) != [0, 1, 2, 3]:
            raise UsageError(f"rotors: found them at x {self.x}, y {self.y}, wanted one in each quadrant")
        return tuple(places)

    def require_spin(self, airframe: Airframe) -> None:
        """Raise UsageError where a rotor turns the other way than the airframe's at the same place: yaw would reverse."""
        for place, spin in zip(self.order, self.spin, strict=True):
            if spin != airframe.rotor_spin[place]:
                found = f"found a reaction torque of sign {spin:+g}, wanted {airframe.rotor_spin[place]:+g}"
                raise UsageError(f"rotor {PLACES[place]}: {found} as that of airframe {airframe.name}")

    def speeds(self, command: NDArray[Any]) -> NDArray[Any]:
        """Rotor speeds (N, 4) in `unit` and the simulator's order, of commands u (N, 4) in ours."""
        speeds: NDArray[Any] = self.top * np.clip(command, 0.0, 1.0)[:, list(self.order)]
        return speeds

    @property
    def hover(self) -> float:
        """The u at which four rotors carry the weight."""
        return float(rotor_speed(self.thrust, self.mass * GRAVITY / 4)) / self.top

    @property
    def thrust_to_weight(self) -> float:
        """Thrust of four rotors at u = 1 over the weight."""
        c0, c1, c2 = self.thrust
        return 4 * (c0 + c1 * self.top + c2 * self.top**2) / (self.mass * GRAVITY)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What is taken for granted in this map, in words."""
        order = ", ".join(PLACES[place] for place in self.order)
        return (
            f"u is a share of the highest rotor speed, {self.top:.0f} {self.unit}; it hovers at u = {self.hover:.2f}",
            f"its rotors are in the order {order}, by their places",
        )


def _place(x: float, y: float) -> int:
    return {(True, False): 0, (False, False): 1, (False, True): 2, (True, True): 3}[x > 0, y > 0]
