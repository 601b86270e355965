"""How a controller flies a vehicle that is not what its airframe says.

Four things differ between a simulated and a true vehicle: mass, thrust, the lag of rotors and rate loop, and the delay of
commands. The first three are 20 % off and the delay is 20 ms, in all combinations. Sensors have their noise. On each such
plant are flown a hover, a step of 2 m, and a figure-eight of 2 m span in 8 s.
"""

from itertools import product
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.trajectory import PASS_ERROR, Trajectory
from spike_ctrl.evaluation.controllers import Controller
from spike_ctrl.evaluation.tracking import Tracking, errors, hovering, summary
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.dynamics import DELAY, LAG_DOWN, LAG_UP, LOOP_FACTORS, MASS, THRUST
from spike_ctrl.sim.environment import RATE_HZ, Environment
from spike_ctrl.sim.randomisation import Randomisation

OFF = 0.2
LATE = 2  # control steps
EACH = 8  # vehicles, which differ in the noise of their sensors
LEAD = 4.0  # s to find out what it flies
FLIGHTS = {
    "hover": (Trajectory("hover", lead=LEAD), 10.0),
    "step": (Trajectory("step", size=2.0, lead=LEAD), 8.0),
    "figure8": (Trajectory("figure8", size=1.0, period=8.0, lead=LEAD), 16.0),
}


class Corner(NamedTuple):
    """One plant: factors on mass, thrust and lag, and the control steps by which commands are late."""

    mass: float = 1.0
    thrust: float = 1.0
    lag: float = 1.0
    late: int = 0

    def __str__(self) -> str:
        words = [f"{name} {100 * (f - 1):+.0f} %" for name, f in zip(self._fields, self[:3], strict=False) if f != 1]
        words += [f"{1e3 * self.late / RATE_HZ:.0f} ms late"] if self.late else []
        return ", ".join(words) or "as it should be"


_BOTH = 1 - OFF, 1 + OFF
CORNERS = (Corner(), *(Corner(*off, late) for late in (0, LATE) for off in product(_BOTH, _BOTH, _BOTH)))


def fly_corners(controller: Controller, airframe: Airframe) -> dict[Corner, dict[str, Tracking]]:
    """The three flights on each plant; a step has settled within PASS_ERROR."""
    found: dict[Corner, dict[str, Tracking]] = {corner: {} for corner in CORNERS}
    for kind, (trajectory, seconds) in FLIGHTS.items():
        steps, differ = int(RATE_HZ * (trajectory.lead + seconds)), Randomisation(delay=LATE, noise=1.0)
        environment, observation = hovering(airframe, EACH * len(CORNERS), steps, differ)
        set_plants(environment)
        flown = errors(controller, environment, observation, trajectory).distance
        for index, corner in enumerate(CORNERS):
            found[corner][kind] = summary(flown[:, EACH * index : EACH * (index + 1)], PASS_ERROR)
    return found


def set_plants(environment: Environment) -> None:
    """Give EACH vehicles in turn the plant of one corner. A slow rate loop has weak gains and slow filters."""
    mass, thrust, lag, late = np.repeat(np.array(CORNERS, np.float32), EACH, axis=0).T[:, :, None]
    factors = [(slice(MASS, MASS + 1), mass), (slice(THRUST, THRUST + 3), thrust), (slice(LAG_UP, LAG_DOWN + 1), lag),
               (slice(LOOP_FACTORS, LOOP_FACTORS + 4), 1 / lag)]  # fmt: skip
    for rows, factor in factors:
        dynamics.write(environment.buffer, rows, factor * environment.read(rows))
    dynamics.write(environment.buffer, DELAY, late[:, 0])


def corner_table(name: str, found: dict[Corner, dict[str, Tracking]]) -> str:
    """One line per corner."""
    rows = [[name, "hover RMSE cm", "2 m step, s", "figure8 RMSE cm", "> 15 cm"]]
    for corner, flown in found.items():
        hover, step, figure = (flown[kind] for kind in FLIGHTS)
        following = [f"{100 * figure.rmse:.1f}", f"{figure.beyond:.1%}"]
        rows.append([str(corner), f"{100 * hover.rmse:.1f}", f"{step.settling:.2f}", *following])
    return text_table(rows)
