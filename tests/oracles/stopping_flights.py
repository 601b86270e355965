"""Vehicles of an airframe that stop: random states, bad old commands, then a controller at its limits.

python tests/oracles/stopping_flights.py [FLIGHTS]      # how often a way is longer than `spike_ctrl_racing.stopping` says
"""

import sys

import numpy as np
from scipy.spatial.transform import Rotation

from spike_ctrl import airframe
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_racing.stopping import Stopping

NEAR = 0.15  # rad: within this angle the braking axis counts as reached
TURNED = 1.2  # s: longer than the old commands and the turn last; from then on a vehicle that is first at rest has stopped
LONGEST = 8.0  # s
CHUNK = 4000


def _body(state, wanted):
    """Directions of the world (N, 3) in the body frame, and how much of the body's axis points up (N,)."""
    x, y, z, w = state[:, 3:7].T
    a, b, c = wanted.T
    rows = (
        ((1 - 2 * (y * y + z * z)), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([rows[0][j] * a + rows[1][j] * b + rows[2][j] * c for j in range(3)], 1), rows[2][2]


def _command(craft, s, state):
    """Actions (N, 4) of a vehicle that stops, by the law of `stopping`; forces in weights of the nominal one."""
    velocity, full = state[:, 7:10], craft.thrust_to_weight
    level = s.climbing * s.weak * np.tan(s.tilt)
    climbs, fast = velocity[:, 2] > 0, np.maximum(np.hypot(velocity[:, 0], velocity[:, 1]), 1e-9)
    caught = np.minimum(-velocity[:, 2] / s.soft / GRAVITY, s.weak * np.cos(s.tilt) - 1)
    upwards = np.where(climbs, s.climbing * full, (1 + 1.1 * caught) * full / s.weak)
    # Beyond the deceleration that is promised, for an axis that stands as far off as still counts as reached.
    aside = np.where(climbs, upwards * np.tan(s.tilt + NEAR), (level + NEAR * upwards) * full / s.weak)
    aside *= np.minimum(1.0, fast / (s.soft * level * GRAVITY))
    force = np.stack([-aside * velocity[:, 0] / fast, -aside * velocity[:, 1] / fast, upwards], 1)
    thrust = np.linalg.norm(force, axis=1)
    axis, up = _body(state, force / thrust[:, None])
    thrust = np.where(climbs, np.minimum(thrust, s.climbing * full / np.maximum(up, 1e-3)), thrust)
    angle, turn = np.arccos(np.clip(axis[:, 2], -1, 1)), np.maximum(np.hypot(axis[:, 0], axis[:, 1]), 1e-9)
    rate = np.clip(9 * angle, 0, craft.max_rates[0]) / turn
    thrust = np.where(angle > 2 * NEAR, np.minimum(thrust, s.idle * full / s.strong), thrust)
    u = np.sqrt(np.clip(thrust / full, 0, 1))
    collective = np.where(u < craft.hover, u / craft.hover - 1, (u - craft.hover) / (1 - craft.hover))
    rates = np.stack([-axis[:, 1] * rate / craft.max_rates[0], axis[:, 0] * rate / craft.max_rates[1]], 1)
    return np.column_stack([collective, rates, np.zeros(len(u))]).astype(np.float32)


def fly(count, seed, spread=0.1, dead=0.03):
    """Ways (N, 6) to the west, south, below, east, north, above until first at rest, and their bounds."""
    craft, random = airframe.load("racer"), np.random.default_rng(seed)
    s = Stopping.of(craft, dead, spread)
    world = Environment(craft, count, Task(box=1e4, episode_steps=10**6, randomisation=Randomisation(thrust=spread)))
    world.reset(seed=seed)
    tilt, azimuth = random.uniform(0, 1.3, count), random.uniform(0, 2 * np.pi, count)
    lean = Rotation.from_rotvec(np.stack([tilt * np.cos(azimuth), tilt * np.sin(azimuth), 0 * tilt], 1))
    turn = lean * Rotation.from_euler("z", random.uniform(-np.pi, np.pi, (count, 1)))
    velocity = random.normal(size=(count, 3))
    velocity *= random.uniform(0, 12, (count, 1)) / np.linalg.norm(velocity, axis=1, keepdims=True)
    # A quarter sinks, level and slowly, so that the bound upwards is 0 or little: a strong one that catches a fall must not
    # climb on.
    sinks = random.random(count) < 0.25
    velocity[sinks] = (
        random.normal(size=(count, 3))[sinks] * (0.05, 0.05, 0) - (0, 0, 1) * random.uniform(2.2, 3.2, (count, 1))[sinks]
    )
    turn = Rotation.from_quat(
        np.where(sinks[:, None], Rotation.from_rotvec(0.2 * lean.as_rotvec()).as_quat(), turn.as_quat())
    )
    rates = random.uniform(-1, 1, (count, 3)) * craft.max_rates
    state = np.concatenate([np.zeros((count, 3)), turn.as_quat(), velocity, rates], 1)
    dynamics.write(world.buffer, slice(0, 13), state)
    dynamics.write(world.buffer, dynamics.ROTOR_ROWS, np.repeat(random.uniform(0, 1, (count, 1)), 4, 1))
    dynamics.write(world.buffer, slice(dynamics.GYRO, dynamics.GYRO + 3), rates)
    old = random.uniform(-1, 1, (count, 4))
    old = np.where(random.random((count, 1)) < 0.6, np.sign(old), old).astype(np.float32)
    up = turn.apply([0.0, 0.0, 1.0])
    bound = np.array([s.ways(v, z) for v, z in zip(velocity.tolist(), up.tolist(), strict=True)])
    ways, moving = np.zeros((count, 6)), np.ones((count, 6), bool)
    delay = round(100 * (dead - craft.rate_loop.delay))  # the loop's own delay is part of the dead time
    for step in range(round(100 * LONGEST)):
        now = world.read(slice(0, 13)).astype(float)
        both = np.concatenate([-now[:, :3], now[:, :3]], 1)
        ways = np.where(moving, np.maximum(ways, both), ways)
        if step > 100 * TURNED:
            moving &= np.concatenate([-now[:, 7:10], now[:, 7:10]], 1) > 0
            if not moving.any():
                break
        world.step(old if step < delay else _command(craft, s, now))
    return ways, bound


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CHUNK
    worst, broken, ratios = np.full(6, -np.inf), 0, []
    for first in range(0, count, CHUNK):
        ways, bound = fly(CHUNK, first)
        worst = np.maximum(worst, (ways - bound).max(0))
        broken += int((ways > bound).any(1).sum())
        ratios.append((ways / np.maximum(bound, 1e-3))[np.arange(CHUNK), ways.argmax(1)])
        if sys.stderr.isatty() or (first // CHUNK) % 25 == 0:
            print(f"{first + CHUNK} of {count} flights, {broken} beyond the bound", file=sys.stderr, flush=True)
    print(f"{CHUNK * len(ratios)} flights, {broken} beyond the bound; largest way beyond it, m: {worst.round(3)}")
    print(
        f"the longest way of a flight is {np.median(ratios):.2f} of its bound, of 1 % over {np.quantile(ratios, 0.99):.2f}"
    )


if __name__ == "__main__":
    main()
