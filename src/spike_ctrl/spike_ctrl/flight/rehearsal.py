"""The rehearsal: a flight in simulation that a policy must pass before it may fly in shadow.

A policy in shadow sees a vehicle that the guide holds at its set-point. There, random weights or weights with the wrong
sign differ little from good ones. In simulation the policy flies alone, and a bad one falls.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.kernel import FASTMATH, kernel
from spike_ctrl.airframe import Airframe
from spike_ctrl.flight.flight_settings import RehearsalLimits
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.policy.voltage_input import complete
from spike_ctrl.sim import action_mapping, dynamics, observation, rate_loop
from spike_ctrl.sim.battery import BatteryConstants
from spike_ctrl.sim.dynamics import LANES, ROWS, rk4_lane, unpack_arms
from spike_ctrl.sim.rate_loop import SUBSTEPS

VEHICLES, SEED = LANES, 0
LIMITS = RehearsalLimits()

Floats = NDArray[np.float32]


class PlantChange(NamedTuple):
    """A plant that is not its airframe.

    mass, thrust: factors. force: steady, N, in the set-point's frame. moment: beside the airframe's own, N m, in the body's.
    """

    mass: float = 1.0
    thrust: float = 1.0
    force: tuple[float, float, float] = (0.0, 0.0, 0.0)
    moment: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def write(self, buffer: Floats) -> None:
        """Change VEHICLES in a buffer of `dynamics`."""
        for row, factor in ((dynamics.MASS, self.mass), *((dynamics.THRUST + i, self.thrust) for i in range(3))):
            rows = slice(row, row + 1)
            dynamics.write(buffer, rows, factor * dynamics.read(buffer, rows, VEHICLES))
        force = np.tile(np.array(self.force, np.float32), (VEHICLES, 1))
        dynamics.write(buffer, slice(dynamics.FORCE, dynamics.FORCE + 3), force)
        if any(self.moment):
            rows = slice(dynamics.MOMENT, dynamics.MOMENT + 3)
            dynamics.write(buffer, rows, dynamics.read(buffer, rows, VEHICLES) + np.array(self.moment, np.float32))


def rehearse(policy: Policy, airframe: Airframe, rate_hz: float, rest: Callable[[], object] = lambda: None) -> str | None:
    """Fly VEHICLES of the airframe to the set-point. Why the policy must not fly, in words, or None.

    rest: called after each step, so that a thread may let others run.
    """
    for seen in fly_rehearsal(policy, airframe, rate_hz):
        last = seen
        rest()
    return refusal(last)


def refusal(last: Floats) -> str | None:
    """Why a policy that flew to these last observations of `fly` must not fly, in words, or None."""
    arrived = np.linalg.norm(last[:, :3], axis=1) <= LIMITS.end_distance  # False for NaN
    if not arrived.all():
        lost = int((~arrived).sum())
        far = f"more than {LIMITS.end_distance} m from the set-point after {LIMITS.seconds:g} s"
        return f"in simulation {lost} of {VEHICLES} vehicles are {far}"
    return None


def fly_rehearsal(
    policy: Policy, airframe: Airframe, rate_hz: float, change: PlantChange = PlantChange()
) -> Iterator[Floats]:
    """The observations (VEHICLES, 18) that the policy answers, and at last the one after its last answer.

    change: how the plant that flies differs from the airframe.
    """
    buffer, frequency = dynamics.allocate(VEHICLES, airframe), rate_hz * SUBSTEPS
    _start(buffer, airframe)
    change.write(buffer)
    rates, dt = airframe.action_layout == "rates", 1 / frequency
    loop = rate_loop.constants(airframe, dt) if rates else np.zeros(rate_loop.SIZE, np.float32)
    late = min(rate_loop.delay_substeps(airframe, dt), SUBSTEPS) if rates else 0
    plant = (np.float32(dt), dynamics.geometry(airframe), loop, rates, dynamics.extension(airframe, dt))
    state = policy.initial_state(VEHICLES)
    for _ in range(round(LIMITS.seconds * rate_hz)):
        yield (seen := _observe(buffer))
        voltage = dynamics.read(buffer, dynamics.VOLTAGE, VEHICLES) if airframe.battery else None
        action, state = policy.step(complete(policy, seen, voltage), state)
        _advance(buffer, late, *plant)
        action = np.clip(action, -1.0, 1.0)
        if rates:
            dynamics.write(buffer, slice(dynamics.RATE_SETPOINT, dynamics.RATE_SETPOINT + 4), action)
        else:
            dynamics.write(buffer, slice(dynamics.COMMAND, dynamics.COMMAND + 4), action_mapping.command(action))
            if airframe.dead_time:
                dynamics.delay(buffer, rate_hz)
        _advance(buffer, SUBSTEPS - late, *plant)
    yield _observe(buffer)


def _start(buffer: Floats, airframe: Airframe) -> None:
    """Vehicles near the set-point with the rotors at hover; poses and velocities from SEED."""
    dice = np.random.default_rng(SEED)
    positions, velocities = (
        dice.uniform(-size, size, (VEHICLES, 3)) for size in (LIMITS.start_position, LIMITS.start_speed)
    )
    half, heading = dice.uniform(0, LIMITS.start_tilt / 2, VEHICLES), dice.uniform(-np.pi, np.pi, VEHICLES)
    zero = np.zeros(VEHICLES)
    quaternions = np.stack([np.sin(half) * np.cos(heading), np.sin(half) * np.sin(heading), zero, np.cos(half)], axis=1)
    for row, values in ((dynamics.POSITION, positions), (dynamics.QUATERNION, quaternions), (dynamics.VELOCITY, velocities)):
        dynamics.write(buffer, slice(row, row + values.shape[1]), values)
    dynamics.write(buffer, dynamics.ROTOR_ROWS, np.full((VEHICLES, 4), airframe.hover))


def _observe(buffer: Floats) -> Floats:
    parts = [(dynamics.POSITION, 3), (dynamics.QUATERNION, 4), (dynamics.VELOCITY, 3), (dynamics.RATES, 3)]
    columns = [dynamics.read(buffer, slice(row, row + size), VEHICLES) for row, size in parts]
    return np.stack([observation.build(*row) for row in zip(*columns, strict=True)])


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def _advance(
    buffer: Floats, substeps: int, dt: np.float32, arms: Floats, loop: Floats, rates: bool,
    extension: BatteryConstants | None,
) -> None:  # fmt: skip
    """Substeps of `dt` seconds for every vehicle, with the body-rate loop where `rates`."""
    reach, c, spin = unpack_arms(arms), rate_loop.unpack(loop), (arms[8], arms[9], arms[10], arms[11])
    for _ in range(substeps):
        for block in range(buffer.size // (ROWS * LANES)):
            base = np.uint64(block * ROWS * LANES)
            for lane in range(np.uint64(LANES)):
                if rates:
                    rate_loop.rate_lane(buffer, base + lane, c, spin)
                rk4_lane(buffer, base + lane, dt, reach, extension)
