"""The flight in simulation that a policy must pass before it may fly in shadow.

A policy in shadow sees a vehicle that the guide holds at its set-point. There, weights at random or of the wrong sign hardly
differ from good ones. In simulation they fly by themselves, and fall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numba import njit

from spike_ctrl.airframe import Airframe
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.sim import action_mapping, dynamics, observation, rate_loop
from spike_ctrl.sim.dynamics import (
    COMMAND,
    FASTMATH,
    LANES,
    POSITION,
    QUATERNION,
    RATE_SETPOINT,
    RATES,
    ROTOR_ROWS,
    ROWS,
    VELOCITY,
    rk4_lane,
    unpack_arms,
)
from spike_ctrl.sim.rate_loop import SUBSTEPS

VEHICLES, SEED, SECONDS = LANES, 0, 4.0
POSITIONS, TILTS, SPEEDS = 0.5, 0.3, 0.5  # m, rad, m/s: largest at the start
WITHIN = 0.5  # m from the set-point at the end


def rehearse(
    policy: Policy, airframe: Airframe, rate_hz: float, rest: Callable[[], object] = lambda: None
) -> str | None:
    """Fly VEHICLES of the airframe for SECONDS to the set-point. Gives why the policy must not fly, or None.

    rest: called after each step, so that a thread may let others run.
    """
    if (policy.inputs, policy.outputs) != (18, 4):
        return f"it has {policy.inputs} inputs and {policy.outputs} outputs, wanted 18 and 4"
    for seen in flight(policy, airframe, rate_hz):
        away = np.linalg.norm(seen[:, :3], axis=1)
        rest()
    if not (away <= WITHIN).all():  # NaN is not
        lost = int((~(away <= WITHIN)).sum())
        return f"in simulation {lost} of {VEHICLES} vehicles are more than {WITHIN} m from the set-point after {SECONDS:g} s"
    return None


def flight(policy: Policy, airframe: Airframe, rate_hz: float) -> Iterator[np.ndarray]:
    """The observations (VEHICLES, 18) that the policy answers, then that after its last answer."""
    buffer, frequency = dynamics.allocate(VEHICLES, airframe), rate_hz * SUBSTEPS
    _start(buffer, airframe)
    rates, dt = airframe.action_layout == "rates", 1 / frequency
    loop = rate_loop.constants(airframe, dt) if rates else np.zeros(18, np.float32)
    late = min(rate_loop.delay_substeps(airframe, dt), SUBSTEPS) if rates else 0
    plant = (np.float32(dt), dynamics.geometry(airframe), loop, rates)
    state = policy.initial_state(VEHICLES)
    for _ in range(round(SECONDS * rate_hz)):
        yield (seen := _observe(buffer))
        action, state = policy.step(seen, state)
        _advance(buffer, late, *plant)
        action = np.clip(action, -1.0, 1.0)
        if rates:
            dynamics.write(buffer, slice(RATE_SETPOINT, RATE_SETPOINT + 4), action)
        else:
            dynamics.write(buffer, slice(COMMAND, COMMAND + 4), action_mapping.command(action))
        _advance(buffer, SUBSTEPS - late, *plant)
    yield _observe(buffer)


def _start(buffer: np.ndarray, airframe: Airframe) -> None:
    dice = np.random.default_rng(SEED)
    positions, velocities = (dice.uniform(-size, size, (VEHICLES, 3)) for size in (POSITIONS, SPEEDS))
    half, heading = dice.uniform(0, TILTS / 2, VEHICLES), dice.uniform(-np.pi, np.pi, VEHICLES)
    zero = np.zeros(VEHICLES)
    quaternions = np.stack([np.sin(half) * np.cos(heading), np.sin(half) * np.sin(heading), zero, np.cos(half)], axis=1)
    for row, values in ((POSITION, positions), (QUATERNION, quaternions), (VELOCITY, velocities)):
        dynamics.write(buffer, slice(row, row + values.shape[1]), values)
    dynamics.write(buffer, ROTOR_ROWS, np.full((VEHICLES, 4), airframe.hover))


def _observe(buffer: np.ndarray) -> np.ndarray:
    parts = [(POSITION, 3), (QUATERNION, 4), (VELOCITY, 3), (RATES, 3)]
    columns = [dynamics.read(buffer, slice(row, row + size), VEHICLES) for row, size in parts]
    return np.stack([observation.build(*row) for row in zip(*columns, strict=True)])


@njit(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def _advance(buffer, substeps, dt, arms, loop, rates):
    """Substeps of `dt` seconds for every vehicle, with the body-rate loop where `rates`."""
    reach, c, spin = unpack_arms(arms), rate_loop.unpack(loop), (arms[8], arms[9], arms[10], arms[11])
    for _ in range(substeps):
        for block in range(buffer.size // (ROWS * LANES)):
            base = np.uint64(block * ROWS * LANES)
            for lane in range(np.uint64(LANES)):
                if rates:
                    rate_loop.rate_lane(buffer, base + lane, c, spin)
                rk4_lane(buffer, base + lane, dt, reach)
