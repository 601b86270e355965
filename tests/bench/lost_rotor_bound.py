"""How many losses of a rotor could be flown on at all, by commands that are optimised from the failure on.

nice python tests/bench/lost_rotor_bound.py models/crazyflie_any_rotor.safetensors --path figure8

A policy flies until the rotor fails. From then on the commands of the next 3 s are optimised flight by flight with the
simulator's gradient, beginning with those of the policy: rotor, loss and plant are known, and there is no noise. Prints the
shares that stay within 3 m, by the time in which the thrust falls: by the policy, by the told guide, by these commands.
"""

import argparse
from itertools import pairwise

import numpy as np

from spike_ctrl._files.kernel import kernel
from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.trajectory import PREVIEW, Trajectory
from spike_ctrl.evaluation.benchmark import EVALUATION_SEED
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.tracking import hovering
from spike_ctrl.learn.bptt_kernel import _follow
from spike_ctrl.learn.objective import Objective, add_gradient, restrain_lane
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.block_step import BLOCKWISE, SIZES, advance_motors, apply_motors, load, motion, record, step_motors_vjp
from spike_ctrl.sim.dynamics import LANES, ROWS, unpack_arms
from spike_ctrl.sim.dynamics_vjp import ADJOINT_ROWS
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.randomisation import MAX_DELAY, Randomisation
from spike_ctrl.sim.rotor_loss import RotorLoss
from spike_ctrl_benchmark.rotor_flights import KEPT, ToldGuide

STEPS, LEAD, LATEST = 300, 2.0, 4.0
GOAL = {"position": 1.0, "velocity": 0.05, "far": 0.5, "boundary": 20.0, "boundary_at": 1.6, "upright": -1.0, "decay": 0.995}
GOAL |= {"limit": 300.0, "speed_at": 100.0, "body_rate_at": 100.0}
BINS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)


@kernel(**BLOCKWISE)
def forward(buffer, arms, extension, dt, command, delay, course, kept):
    """Fly the commands; kept [T + 1, blocks, rows]: the states before each step, and after the last."""
    reach = unpack_arms(arms)
    for block in range(buffer.size // (ROWS * LANES)):
        for t in range(len(course)):
            apply_motors(buffer, block, command, t, delay)
            advance_motors(buffer, block, dt, reach, extension, kept[t : t + 1])
            _follow(buffer, block, course[t])
        record(buffer, block, kept[len(course), block])


@kernel(**BLOCKWISE)
def backward(buffer, arms, extension, dt, command, delay, course, kept, objective, by_command):
    """Add the gradient of the cost with respect to the commands."""
    reach = unpack_arms(arms)
    adjoint = np.zeros(buffer.size // ROWS * ADJOINT_ROWS, np.float32)
    for block in range(buffer.size // (ROWS * LANES)):
        at = np.uint64(block * ADJOINT_ROWS * LANES)
        for t in range(len(course) - 1, -1, -1):
            load(buffer, block, kept[t + 1, block])
            add_gradient(buffer, block, adjoint, course[t], dt, objective)
            step_motors_vjp(buffer, block, dt, reach, extension, adjoint, command, t, delay, kept[t : t + 2], by_command)
            for lane in range(np.uint64(LANES)):
                restrain_lane(adjoint, at + lane, objective)


def flown(controller, craft, path, loss, vehicles):
    """Fly; gives the rows of each vehicle at its failure (N, ROWS), the step of it, commands [T, 4, N], distances [T, N]."""
    steps = int(RATE_HZ * LATEST) + STEPS + 1
    differ = Randomisation(noise=1.0, rotor_loss=loss)
    environment, seen = hovering(craft, vehicles, steps, differ, seed=EVALUATION_SEED + 7)
    at = np.floor(environment.read(dynamics.FAILS_AT) * RATE_HZ).astype(int)
    rows, commands, distances = np.zeros((vehicles, ROWS), np.float32), [], []
    controller.begin(vehicles)
    for step in range(steps):
        now = at == step
        rows[now] = environment.read(slice(0, ROWS))[now]
        action = controller.act(seen, environment)
        commands.append((np.clip(action, -1, 1).T + 1) / 2)
        target = np.array(path.at((step + 1) / RATE_HZ).position) - path.centre
        dynamics.write(environment.buffer, slice(dynamics.TARGET, dynamics.TARGET + 3), np.tile(target, (vehicles, 1)))
        seen, *_ = environment.step(action)
        seen[:, 12:15] -= np.array(path.at((step + 1) / RATE_HZ + PREVIEW).velocity, np.float32)
        distances.append(np.linalg.norm(environment.true_observation[:, :3], axis=1))
    return rows, at, np.array(commands, np.float32), np.array(distances)


def after(series, at):
    """The STEPS entries of [T, ..., N] from each vehicle's own step on."""
    return np.stack([series[a : a + STEPS, ..., n] for n, a in enumerate(at)], -1)


def optimised(rows, at, first, craft, path, iterations, show):
    """Farthest distance (N,) from the set-point within the STEPS, by the best commands found."""
    vehicles = len(rows)
    moves = motion(craft, 1 / RATE_HZ, fails=True)
    start = dynamics.allocate(vehicles, craft)
    rows = rows.copy()
    rows[:, :3] -= rows[:, dynamics.TARGET : dynamics.TARGET + 3]
    rows[:, dynamics.TARGET : dynamics.TARGET + 3] = 0
    dynamics.write(start, slice(0, ROWS), rows)
    points = np.array([path.at(step / RATE_HZ).position for step in range(at.max() + STEPS + 2)])
    course = np.stack([np.diff(points[a : a + STEPS + 1], axis=0) for a in at], -1).astype(np.float32)
    command = np.zeros((STEPS + MAX_DELAY, 4, vehicles), np.float32)
    command[MAX_DELAY:] = first
    delay = np.zeros(vehicles, np.float32)
    kept = np.zeros((STEPS + 1, vehicles // LANES, SIZES["motors"] * LANES), np.float32)
    goal = Objective(*(np.float32(GOAL.get(name, 0)) for name in Objective._fields))
    first_moment, second, best = 0 * command, 0 * command, np.full(vehicles, np.inf)
    for i in range(iterations):
        buffer = start.copy()
        forward(buffer, moves.arms, moves.extension, moves.dt, command, delay, course, kept)
        where = kept.reshape(STEPS + 1, -1, SIZES["motors"], LANES)[:, :, :3].transpose(0, 2, 1, 3).reshape(STEPS + 1, 3, -1)
        farthest = np.linalg.norm(where, axis=1).max(0)
        best = np.fmin(best, farthest)
        if not i % 50:
            show(f"iteration {i}: within {KEPT:g} m {np.mean(best <= KEPT):.3f}")
        gradient = np.zeros_like(command)
        backward(buffer, moves.arms, moves.extension, moves.dt, command, delay, course, kept, goal, gradient)
        gradient = np.nan_to_num(gradient, posinf=0, neginf=0)
        first_moment = 0.9 * first_moment + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        step = first_moment / (1 - 0.9 ** (i + 1)) / (np.sqrt(second / (1 - 0.99 ** (i + 1))) + 1e-9)
        rate = 0.03 * (1 - i / iterations)
        command[MAX_DELAY:] = np.clip(command - rate * step, 0, 1)[MAX_DELAY:]
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--path", choices=("hover", "figure8", "step"), default="figure8")
    parser.add_argument("--airframe", default="crazyflie_drag")
    parser.add_argument("--vehicles", type=int, default=128, help="a multiple of 16")
    parser.add_argument("--least", type=float, default=1.0, help="smallest share of the thrust that is lost")
    parser.add_argument("--iterations", type=int, default=400)
    o = parser.parse_args()
    craft, path = Airframe.load(o.airframe), Trajectory(o.path, size=1.0, lead=LEAD)
    loss = RotorLoss(chance=1.0, least=o.least, earliest=LEAD, latest=LATEST, over=0.5)
    policy = PolicyController(checkpoint.load(o.model).policy)
    rows, at, commands, distances = flown(policy, craft, path, loss, o.vehicles)
    far = {"policy": after(distances, at).max(0)}
    far["told guide"] = after(flown(ToldGuide(craft), craft, path, loss, o.vehicles)[3], at).max(0)
    far["optimised"] = optimised(rows, at, after(commands, at), craft, path, o.iterations, print)
    over = rows[:, dynamics.FALLS_OVER]
    table = [["thrust falls in", "flights", *far]]
    for low, high in [*pairwise(BINS), (0.0, 0.5)]:
        who = (over >= low) & (over <= high)
        table.append([f"{low:g} to {high:g} s", str(who.sum()), *(f"{(f[who] <= KEPT).mean():.3f}" for f in far.values())])
    print(f"{craft.name}, {o.path}, {o.vehicles} losses of {o.least:g} to 1, 3 s\n{text_table(table)}")


if __name__ == "__main__":
    main()
