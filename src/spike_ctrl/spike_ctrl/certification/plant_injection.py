"""What becomes of the plant: the scenario's wind, gusts, a load, weaker rotors, a moment. No controller knows."""

from __future__ import annotations

import math

from spike_ctrl.airframe import GRAVITY
from spike_ctrl.certification.moving_scenario import Scenario
from spike_ctrl.sim import dynamics
from spike_ctrl.simulated_px4.plant import Plant

CORE = 0.2  # m, radius of a whirl at which it is fastest (Rankine's vortex)


class PlantInjection:
    """The plant of one flight."""

    def __init__(self, scenario: Scenario, plant: Plant):
        self.plant = plant
        self.weight = GRAVITY * plant.airframe.mass
        self.wind = tuple(w * plant.airframe.mass for w in scenario.wind)
        self.faults = scenario.struck("plant")
        self.changes = sorted({time for f in self.faults for time in (f.at, f.until) if time < math.inf})
        self.whirls = [fault for fault in self.faults if fault.kind == "whirl"]
        self.centre = scenario.start
        self.nominal = dynamics.read(plant.buffer, dynamics.PLANT_ROWS, 1)[0]
        self._write(0.0)

    def act(self, now: float) -> None:
        """What has changed by `now` (s)."""
        if self.changes and now >= self.changes[0]:
            self.changes.pop(0)
            self._write(now)
        elif self.whirls:
            self._write(now)

    def _write(self, now: float) -> None:
        force, moment, rows = list(self.wind), [0.0, 0.0, 0.0], self.nominal.copy()
        craft = self.plant.airframe
        for fault in self.faults:
            if not fault.acts(now):
                continue
            if fault.kind == "gust":
                force = [f + fault.size * craft.mass * d for f, d in zip(force, fault.direction, strict=True)]
            elif fault.kind == "whirl":
                x, y = (a - b for a, b in zip(self.plant.state.position[:2], self.centre[:2], strict=True))
                a, b = whirl(x, y, fault.size)
                force = [force[0] + a * craft.mass, force[1] + b * craft.mass, force[2]]
            elif fault.kind == "moment":
                arm = max(abs(x) for x in craft.rotor_x)
                moment = [fault.size * self.weight * arm * d for d in (*fault.direction[:2], 0.0)]
            elif fault.kind == "heavier":
                rows[0] *= 1 + fault.size
            elif fault.kind == "weaker":
                rows[dynamics.THRUST - dynamics.MASS : dynamics.TORQUE - dynamics.MASS] *= 1 - fault.size
        dynamics.write(self.plant.buffer, dynamics.PLANT_ROWS, rows[None])
        dynamics.write(self.plant.buffer, dynamics.DISTURBANCE_ROWS, [[*force, *moment]])


def whirl(x: float, y: float, size: float) -> tuple[float, float]:
    """Acceleration (m/s^2) by air that turns about the origin, counter-clockwise: `size` at CORE, less within and beyond."""
    radius = math.hypot(x, y)
    share = size / CORE if radius < CORE else size * CORE / radius**2
    return -share * y, share * x
