"""Fly a racing policy of motor commands in crazyflow, the simulator of the group whose course `lsy_level0` is.

    pip install -r requirements/simulators.txt
    SCIPY_ARRAY_API=1 python examples/race_crazyflow.py lsy_level0 crazyflie_gates --starts 100

One round from rest before the first gate, in each of crazyflow's Crazyflies. crazyflie_gates was trained for cf21B_500.
A table: the share that passed each gate and touched nothing, and the time from the start to the last gate.
"""

import argparse
import math

import numpy as np

from spike_ctrl import Airframe
from spike_ctrl._files.text_table import text_table
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.sim import action_mapping, observation
from spike_ctrl_benchmark.crazyflow_simulator import DRONES, CrazyflowSimulator
from spike_ctrl_benchmark.other_simulators import FlownStates
from spike_ctrl_racing import course_path, race_verb, racing_environment, track
from spike_ctrl_racing.gate_view import RacingPolicy
from spike_ctrl_racing.track import Track

SECONDS, NEAR = 15.0, 0.1  # s of a flight; m around the start, each axis


def fly(policy: Policy, course: Track, drone: str, starts: int, seed: int) -> np.ndarray:
    """The positions [T, starts, 3] (m, world ENU) of flights from rest, one step of 10 ms apart."""
    simulator, random = CrazyflowSimulator(drone, starts), np.random.default_rng(seed)
    racing, target, row = RacingPolicy(policy, course), course_path.start(course), course.rows()[0]
    yaw, none = math.atan2(row[4], row[3]), np.zeros((starts, 3))
    turned = np.tile([0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)], (starts, 1))
    states = FlownStates(target + random.uniform(-NEAR, NEAR, (starts, 3)), turned, none, none.copy())
    simulator.begin(states)
    memory, ways = racing.initial_state(starts), [states.position]
    for _ in range(round(100 * SECONDS)):
        seen = np.array([observation.build(*one, target, yaw) for one in zip(*states, strict=True)])
        action, memory = racing.step(np.nan_to_num(seen), memory)
        states = simulator.step(np.clip(action_mapping.command(action), 0, 1))
        ways.append(states.position)
    return np.array(ways)


def judge(way: np.ndarray, course: Track, radius: float) -> float:
    """The time of one round, s, of positions [T, 3]; NaN where a gate was missed or something was touched."""
    lost = np.flatnonzero(~(way[:, 2] > radius))  # on the ground, or not a number
    way = way[: lost[0]] if len(lost) else way
    for end in range(50, len(way), 2):
        passed, touched, _ = course_path.passed(way[:end], course, radius=radius)
        if touched or passed == len(course.gates):
            return math.nan if touched else 0.01 * (end - 1)
    return math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("course")
    parser.add_argument("model")
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drones", nargs="+", default=DRONES, choices=DRONES)
    options = parser.parse_args()
    course, loaded = track.load(options.course), checkpoint.load(race_verb.find_model(options.model))
    radius = racing_environment.radius_of(Airframe.load(loaded.manifest.contract.airframe))
    rows = [["drone", "completed", "time, s: median", "fastest"]]
    for drone in options.drones:
        ways = fly(loaded.policy, course, drone, options.starts, options.seed)
        times = [judge(ways[:, n], course, radius) for n in range(options.starts)]
        done = [time for time in times if not math.isnan(time)]
        told = [f"{np.median(done):.2f}", f"{min(done):.2f}"] if done else ["-", "-"]
        rows.append([drone, f"{len(done) / len(times):.2f}", *told])
    print(text_table(rows))


if __name__ == "__main__":
    main()
