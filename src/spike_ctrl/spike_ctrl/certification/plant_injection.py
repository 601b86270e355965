"""What becomes of the plant: the scenario's wind, gusts, a load, weaker rotors, a moment. No controller knows.

And what becomes of the autopilot's own estimate, by which its own modes fly.
"""

import math

import numpy as np

from spike_ctrl.airframe import GRAVITY
from spike_ctrl.certification.flight_parts import VirtualClock
from spike_ctrl.certification.injected_fault import THROWN_START, InjectedFault
from spike_ctrl.certification.moving_scenario import Scenario
from spike_ctrl.flight.attitude import rotate
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.randomisation import THROWN
from spike_ctrl.simulated_px4.estimator import Estimator
from spike_ctrl.simulated_px4.plant import TICK, Plant

SAGS, TURNS = 10.0, 6.0  # s until the thrust has sagged; s of a turn of the wind
STEADILY = ("sags", "wind_turns", "one_rotor_weaker")  # they change all the time
FALLS_OVER = 0.5  # s, most that the thrust of a lost rotor falls for
MOST_THROWN, MOST_TURNED = map(float, THROWN[1:3])  # m/s; rad/s: those of training, here of the whole vectors


class PlantInjection:
    """The plant of one flight."""

    def __init__(self, scenario: Scenario, plant: Plant):
        self.plant = plant
        self.weight = GRAVITY * plant.airframe.mass
        self.wind = tuple(w * plant.airframe.mass for w in scenario.wind)
        self.faults = scenario.struck("plant")
        self.changes = sorted({time for f in self.faults for time in (f.at, f.until) if time < math.inf})
        self.strokes = scenario.struck("rotor", "stuck", "thrown")
        self.steady = [fault for fault in self.faults if fault.kind in STEADILY]
        self.nominal = dynamics.read(plant.buffer, dynamics.PLANT_ROWS, 1)[0]
        self._write(0.0)

    def act(self, now: float) -> None:
        """What has changed by `now` (s)."""
        for fault in self.strokes if self.strokes and now >= self.strokes[0].at else ():
            self._strike(fault)
            self.strokes = []
        if self.changes and now >= self.changes[0]:
            self.changes.pop(0)
            self._write(now)
        elif self.steady:
            self._write(now)

    def air(self, now: float) -> list[float]:
        """Force (N) of the air but for gusts."""
        return list(self.wind)

    def _strike(self, fault: InjectedFault) -> None:
        """A rotor fails, or the vehicle is struck or thrown where it is."""
        plant, state = self.plant, self.plant.state
        if fault.place == "rotor":
            plant.lose_rotor(fault.axis, fault.size, FALLS_OVER * abs(fault.direction[2]))
            return
        if fault.place == "stuck":
            plant.lose_rotor(fault.axis, 0.0, stuck=fault.size)
            return
        attitude, turning = random_directions(fault.seed)
        turn, speed = (fault.size, 0.0) if fault.kind == "spun" else (fault.size * MOST_TURNED, fault.size * MOST_THROWN)
        rates = [r + turn * t for r, t in zip(state.rates, turning, strict=True)]
        velocity = [v + speed * d for v, d in zip(state.velocity, fault.direction, strict=True)]
        plant.throw(attitude if fault.kind == THROWN_START else state.quaternion, velocity, rates)

    def _write(self, now: float) -> None:
        force, moment, rows = self.air(now), [0.0, 0.0, 0.0], self.nominal.copy()
        craft, thrust = self.plant.airframe, slice(dynamics.THRUST - dynamics.MASS, dynamics.TORQUE - dynamics.MASS)
        for fault in self.faults:
            if not fault.acts(now):
                continue
            if fault.kind in ("gust", "wind_turns"):
                turned = 2 * math.pi * (now - fault.at) / TURNS
                along = fault.direction if fault.kind == "gust" else (math.cos(turned), math.sin(turned), 0.0)
                force = [f + fault.size * craft.mass * d for f, d in zip(force, along, strict=True)]
            elif fault.kind == "moment":
                arm = max(abs(x) for x in craft.rotor_x)
                moment = [fault.size * self.weight * arm * d for d in (*fault.direction[:2], 0.0)]
            elif fault.kind == "one_rotor_weaker":  # what is missing of its thrust pulls down where it is
                state, (a, b, c), n = self.plant.state, rows[thrust].tolist(), fault.axis
                missing = fault.size * (a + state.rotors[n] * (b + state.rotors[n] * c))
                pull = rotate(state.quaternion, (0.0, 0.0, -missing))
                force = [f + p for f, p in zip(force, pull, strict=True)]
                turning = -float(rows[dynamics.TORQUE - dynamics.MASS]) * craft.rotor_spin[n]
                moment = [missing * arm for arm in (-craft.rotor_y[n], craft.rotor_x[n], turning)]
            elif fault.kind == "heavier":
                rows[0] *= 1 + fault.size
            elif fault.kind == "weaker":
                rows[thrust] *= 1 - fault.size
            elif fault.kind == "sags":
                rows[thrust] *= 1 - fault.size * min((now - fault.at) / SAGS, 1.0)
        dynamics.write(self.plant.buffer, dynamics.PLANT_ROWS, rows[None])
        dynamics.write(self.plant.buffer, dynamics.DISTURBANCE_ROWS, [[*force, *moment]])


def thrust_share(scenario: Scenario, ratio: float) -> float:
    """Full thrust over the force that weight and wind ask for, once the lasting faults of the plant are whole.

    ratio: thrust over weight of the airframe described. Under 1 the vehicle sinks, whoever flies it. Of a weaker rotor what
    its pair loses counts, as where the yaw may turn.
    """
    mass, thrust, _ = scenario.factors
    for fault in scenario.struck("plant"):
        if fault.kind == "heavier":
            mass *= 1 + fault.size
        elif fault.kind in ("weaker", "sags"):
            thrust *= 1 - fault.size
        elif fault.kind == "one_rotor_weaker":
            thrust *= 1 - fault.size / 2
    east, north, up = scenario.wind
    return thrust * ratio * GRAVITY / math.hypot(east, north, mass * GRAVITY - up)


def random_directions(seed: int) -> tuple[list[float], list[float]]:
    """Unit vectors, uniform on their spheres: a quaternion (so an attitude uniform on SO(3)), and an axis."""
    dice = np.random.default_rng(seed)
    attitude, axis = (drawn / np.linalg.norm(drawn) for drawn in (dice.standard_normal(4), dice.standard_normal(3)))
    return attitude.tolist(), axis.tolist()


def mislead(fault: InjectedFault, estimator: Estimator, clock: VirtualClock) -> None:
    """What becomes of the autopilot's own estimate, from now until the fault's end."""
    step = TICK * math.copysign(fault.size, fault.direction[2])
    if fault.kind == "satellites_lost":
        estimator.satellites = False
    elif fault.kind == "yaw_reset":
        estimator.jump((0.0, 0.0, 0.0), step / TICK)
    elif clock.now < fault.until:
        x, y, z = (a + TICK * fault.size * d for a, d in zip(estimator.offset, fault.direction, strict=True))
        if fault.kind == "drifts":
            estimator.offset = (x, y, z)
        else:
            estimator.heading += step
        clock.at(clock.now + TICK, mislead, fault, estimator, clock)
