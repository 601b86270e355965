"""Vehicles that a guide brakes from states of races, beside what `spike_ctrl_racing.stop_flights` predicts.

python tests/oracles/race_stops.py [STATES] [OLD]      # how often a way is longer than predicted, and by how much

OLD: `sent` or `any` (the default), the policy's last command, which nobody has seen. Every 4000 states are of other courses.

The states are those of `racer_gates` on drawn courses. The true plants differ from the airframe, each in its own way, and
their last commands were anything. They are flown by the environment of training, not by the kernel that predicts.
"""

import sys

import numpy as np

from spike_ctrl import airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_racing import race_flights, race_verb, track_sampler
from spike_ctrl_racing.stop_flights import StopFlights

COURSES, SEED = 40, 3_000_000
SECONDS = 3.0
CHUNK = 4000


def states(count, seed):
    """States (N, 17) of races and the actions (N, 4) that led to them."""
    racer, policy = airframe.load("racer"), checkpoint.load(race_verb.find_model("racer_gates")).policy
    courses = [track_sampler.draw(SEED + seed, number) for number in range(COURSES)]
    traces = [trace for _, trace in race_flights.fly_race(policy, courses, racer, rounds=1, seed=seed, spread=0.05)]
    found, sent = np.concatenate([t.state[1:] for t in traces]), np.concatenate([t.action for t in traces])
    chosen = np.random.default_rng(seed).choice(len(found), count, replace=count > len(found))
    return found[chosen].astype(float), sent[chosen]


def fly(count, seed, spread=0.1, old="any"):
    """Ways (N, 6) to the west, south, below, east, north, above, and the predicted ones.

    old: the policy's last command, which nobody has seen: `sent`, the one before it again; `any`, random and of any size.
    """
    racer, dice = airframe.load("racer"), np.random.default_rng((seed, 1))
    state, sent = states(count, seed)
    guide = GeometricGuide(racer)
    stops = StopFlights(racer, guide)
    told = [
        np.concatenate(stops.reach(tuple(s[7:10]), tuple(s[3:7]), tuple(s[10:13]), tuple(a)))
        for s, a in zip(state.tolist(), sent.tolist(), strict=True)
    ]
    differ = Randomisation(thrust=spread, mass=0.0, lag=spread)
    world = Environment(racer, count, Task(box=1e4, episode_steps=10**6, randomisation=differ))
    world.reset(seed=seed)
    start = state.copy()
    start[:, :3] = 0.0
    dynamics.write(world.buffer, slice(0, 17), start)
    dynamics.write(world.buffer, slice(dynamics.GYRO, dynamics.GYRO + 3), state[:, 10:13])
    dynamics.write(world.buffer, slice(dynamics.RATE_SETPOINT, dynamics.RATE_SETPOINT + 4), sent)
    yaw = np.arctan2(
        2 * (state[:, 3] * state[:, 4] + state[:, 5] * state[:, 6]), 1 - 2 * (state[:, 4] ** 2 + state[:, 5] ** 2)
    )
    dynamics.write(world.buffer, dynamics.TARGET_COS, np.cos(yaw))
    dynamics.write(world.buffer, dynamics.TARGET_SIN, np.sin(yaw))
    last = sent if old == "sent" else dice.uniform(-1, 1, (count, 4)).astype(np.float32)
    memory, ways, moving = guide.initial_state(count), np.zeros((count, 6)), np.ones(count, bool)
    for step in range(round(100 * SECONDS)):
        now = world.read(slice(0, 13)).astype(float)
        both = np.concatenate([now[:, :3], now[:, :3]], 1)
        ways = np.where(
            moving[:, None],
            np.concatenate([np.minimum(ways[:, :3], both[:, :3]), np.maximum(ways[:, 3:], both[:, 3:])], 1),
            ways,
        )
        moving &= (step < 6) | (np.linalg.norm(now[:, 7:10], axis=1) > stops.limits.slow)
        seen = dynamics.read(world.buffer, dynamics.OBSERVATION_ROWS, count) if step else _seen(now, yaw)
        action, memory = guide.act(seen, memory)
        dead, known = 100 * stops.limits.dead, 100 * (stops.limits.dead - stops.limits.unknown)
        world.step(sent if step < round(known) else last if step < round(dead) else action)
    return ways, np.array(told)


def _seen(now, yaw):
    from spike_ctrl.sim import observation

    rows = [observation.build(r[:3], r[3:7], r[7:10], r[10:13], (0, 0, 0), y) for r, y in zip(now, yaw, strict=True)]
    return np.stack(rows)


def main():
    count, old = int(sys.argv[1]) if len(sys.argv) > 1 else CHUNK, sys.argv[2] if len(sys.argv) > 2 else "any"
    beyond, used = np.zeros((0, 2)), np.zeros(0)
    for begin in range(0, count, CHUNK):
        ways, told = fly(min(CHUNK, count - begin), 5 + begin // CHUNK, old=old)
        more = np.concatenate([told[:, :3] - ways[:, :3], ways[:, 3:] - told[:, 3:]], 1)
        beyond = np.concatenate([beyond, np.stack([more[:, [0, 1, 3, 4]].max(1), more[:, 2]], 1)])
        level = np.abs(ways[:, [0, 1, 3, 4]]).max(1) / np.maximum(np.abs(told[:, [0, 1, 3, 4]]).max(1), 1e-3)
        used = np.concatenate([used, level])
        print(f"{len(used)} of {count} states", end="\r", file=sys.stderr, flush=True)
    print(f"old commands {old}, {count} states: the longest way is {np.median(used):.2f} of the predicted one in the median")
    for name, found, margin in (("to the side", beyond[:, 0], 0.3), ("below", beyond[:, 1], 0.2)):
        shares = ", ".join(f"{(found > limit).sum()} by more than {limit} m" for limit in (0.02, 0.1, margin))
        print(f"{name}: {shares}; farthest {found.max():.2f} m")


if __name__ == "__main__":
    main()
