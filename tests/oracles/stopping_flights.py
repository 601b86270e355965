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


def _command(craft, s, state):
    """Actions (N, 4) of a vehicle that stops: turn at thrust below the weight, then brake all of the velocity."""
    turn, velocity = Rotation.from_quat(state[:, 3:7]), state[:, 7:10]
    level = 1.15 * (1 - s.ease) * np.tan(s.tilt) * GRAVITY
    wish = -velocity / 0.15
    size = np.linalg.norm(wish[:, :2], axis=1, keepdims=True)
    wish[:, :2] *= np.minimum(1, level / np.maximum(size, 1e-9))
    wish[:, 2] = np.clip(wish[:, 2], -1.1 * s.ease * GRAVITY, 1.1 * (s.weak * np.cos(s.tilt) - 1) * GRAVITY)
    force = wish + np.array([0, 0, GRAVITY])
    thrust = np.linalg.norm(force, axis=1)
    axis = turn.inv().apply(force / thrust[:, None])
    angle = np.arccos(np.clip(axis[:, 2], -1, 1))
    about = np.stack([-axis[:, 1], axis[:, 0]], 1)
    about /= np.maximum(np.linalg.norm(about, axis=1, keepdims=True), 1e-9)
    rates = np.clip(9 * angle, 0, craft.max_rates[0])[:, None] * about / craft.max_rates[:2]
    thrust = np.where(angle > 0.3, np.minimum(thrust, 0.9 * s.idle * GRAVITY), thrust) / (craft.thrust_to_weight * GRAVITY)
    u = np.sqrt(np.clip(thrust, 0, 1))
    collective = np.where(u < craft.hover, u / craft.hover - 1, (u - craft.hover) / (1 - craft.hover))
    return np.column_stack([collective, rates, np.zeros(len(u))])


def fly(count, seed, spread=0.1, dead=0.03, seconds=3.0):
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
    rates = random.uniform(-1, 1, (count, 3)) * craft.max_rates
    state = np.concatenate([np.zeros((count, 3)), turn.as_quat(), velocity, rates], 1)
    dynamics.write(world.buffer, slice(0, 13), state)
    dynamics.write(world.buffer, dynamics.ROTOR_ROWS, np.repeat(random.uniform(0, 1, (count, 1)), 4, 1))
    dynamics.write(world.buffer, slice(dynamics.GYRO, dynamics.GYRO + 3), rates)
    old = random.uniform(-1, 1, (count, 4))
    old = np.where(random.random((count, 1)) < 0.6, np.sign(old), old)
    up = turn.apply([0.0, 0.0, 1.0])
    bound = np.array([s.ways(tuple(v), tuple(z)) for v, z in zip(velocity, up, strict=True)])
    ways, moving = np.zeros((count, 6)), np.ones((count, 6), bool)
    delay = round(100 * (dead - craft.rate_loop.delay))  # the loop's own delay is part of the dead time
    for step in range(round(100 * seconds)):
        now = world.read(slice(0, 13)).astype(float)
        both = np.concatenate([-now[:, :3], now[:, :3]], 1)
        ways = np.where(moving, np.maximum(ways, both), ways)
        if step > 120:
            moving &= np.concatenate([-now[:, 7:10], now[:, 7:10]], 1) > 0
        world.step((old if step < delay else _command(craft, s, now)).astype(np.float32))
    return ways, bound


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    worst = np.full(6, -np.inf)
    broken, ratios = 0, []
    for first in range(0, count, 2000):
        ways, bound = fly(2000, first)
        worst = np.maximum(worst, (ways - bound).max(0))
        broken += int((ways > bound).any(1).sum())
        ratios.append((ways / np.maximum(bound, 1e-3))[np.arange(2000), ways.argmax(1)])
    print(f"{count} flights, {broken} beyond the bound; largest way beyond it, m: {worst.round(3)}")
    print(
        f"the longest way of a flight is {np.median(ratios):.2f} of its bound, of 1 % over {np.quantile(ratios, 0.99):.2f}"
    )


if __name__ == "__main__":
    main()
