"""How far the simulated autopilot needs to stop: asked to hold, and after the commands have stopped. In virtual time.

    distances = stopping_distances(airframe, (1.0, 0.0, 0.0), lost=True)      # of speeds 0.5 to 4 m/s in that direction

The flight limits (flight/braking.py) must bound these; a test holds that.
"""

import math
from collections.abc import Mapping, Sequence

from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.flight.attitude import yaw
from spike_ctrl.px4 import parameter_rules
from spike_ctrl.px4.dialect import PX4Mode
from spike_ctrl.px4.frames import Vector
from spike_ctrl.sim import dynamics
from spike_ctrl.simulated_px4.cascade import RateCommand, facing
from spike_ctrl.simulated_px4.plant import TICK
from spike_ctrl.simulated_px4.vehicle import Vehicle

SPEEDS = (0.5, 1.0, 2.0, 3.0, 4.0)  # m/s
HEIGHT, LONGEST = 20.0, 10.0  # m, s


def stopping_distances(
    craft: Airframe,
    direction: Vector,
    parameters: Mapping[str, int | float],
    lost: bool,
    speeds: Sequence[float] = SPEEDS,
    rates: Vector = (0.0, 0.0, 0.0),
    wind: float = 0.0,
) -> dict[float, float]:
    """Farthest way (m) in `direction` (unit vector, ENU) from the last command on, by initial speed (m/s).

    lost: the commands stop, and the autopilot lands after COM_OF_LOSS_T; otherwise it is asked to hold at once. Until then
    the vehicle flies at a steady speed: it leans and thrusts against its drag. rates: of the last command, rad/s. wind:
    m/s^2, in this direction.
    """
    return {speed: _way(craft, direction, parameters, lost, speed, rates, wind) for speed in speeds}


def _way(
    craft: Airframe, direction: Vector, parameters: Mapping[str, int | float], lost: bool, speed: float, rates: Vector,
    wind: float,
) -> float:  # fmt: skip
    no_fence = {"GF_MAX_HOR_DIST": 0.0, "GF_MAX_VER_DIST": 0.0}
    vehicle = Vehicle(craft, 0, {**parameters, **no_fence}, noise=0.0)
    vehicle.begin_in_the_air((0.0, 0.0, HEIGHT))
    x, y, z = (speed * d for d in direction)
    dynamics.write(vehicle.plant.buffer, slice(dynamics.VELOCITY, dynamics.RATES), [(x, y, z)])
    drag = craft.linear_drag / craft.mass
    lift = (drag * x, drag * y, GRAVITY + drag * z)  # m/s^2
    needed = math.hypot(*lift)
    attitude = facing((lift[0] / needed, lift[1] / needed, lift[2] / needed), yaw(vehicle.truth.quaternion))
    dynamics.write(vehicle.plant.buffer, slice(dynamics.QUATERNION, dynamics.VELOCITY), [attitude])
    force = [wind * craft.mass * d for d in direction]
    dynamics.write(vehicle.plant.buffer, dynamics.DISTURBANCE_ROWS, [[*force, 0.0, 0.0, 0.0]])
    vehicle.tick()
    vehicle.take(RateCommand(parameter_rules.hover_thrust(craft) * needed / GRAVITY, rates))
    begin, farthest = vehicle.truth.position, 0.0
    if not lost:
        vehicle.commander.request_mode(PX4Mode.AUTO_LOITER, vehicle.seen)
    for _ in range(round(LONGEST / TICK)):
        vehicle.tick()
        way = sum((p - b) * d for p, b, d in zip(vehicle.truth.position, begin, direction, strict=True))
        farthest = max(farthest, way)
        along = sum(v * d for v, d in zip(vehicle.truth.velocity, direction, strict=True))
        if vehicle.commander.mode != PX4Mode.OFFBOARD and along <= 0.0 and not math.isnan(along):
            break
    return farthest
