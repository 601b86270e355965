"""How fast a course can be flown at all: a time-optimal flight by an existing solver (CasADi with IPOPT), for comparison.

Minimise the time from rest before the first gate to the last gate, by multiple shooting: positions, quaternion and velocity
at nodes, thrust and body rates between them, a free time from gate to gate. The vehicle is the airframe's mass, drag,
thrust/weight and largest body rates; its rotors have no lag and its rates follow at once, so that a real one needs longer.
Gates are passed inside their openings, narrower by the vehicle's radius. Frames are no obstacles elsewhere. A solver finds
an optimum near its first guess, the way of `course_path`, and no proof that there is no better one.
"""

from typing import Any, NamedTuple

import numpy as np

from spike_ctrl._files.arrays import Sums
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl_racing import course_path
from spike_ctrl_racing.track import Track

NODES = 20  # from gate to gate
GUESS = 6.0  # m/s
STATES = 10
CALM = 1e-4  # weight of squared body rates, so that the solution is unique


class Optimum(NamedTuple):
    """A time-optimal flight: time (s), positions (m) and speeds (m/s) at its nodes."""

    time: float
    position: Sums
    speed: Sums

    @property
    def way(self) -> float:
        return float(np.linalg.norm(np.diff(self.position, axis=0), axis=1).sum())


def solve(track: Track, craft: Airframe, rounds: int = 1) -> Optimum:
    """The fastest flight that the solver finds. Raises UsageError without the solver, and where it finds none."""
    try:
        import casadi as ca
    except ImportError:
        raise UsageError("--reference: the package casadi is missing: pip install casadi") from None
    rows, radius = np.tile(track.rows().astype(float), (rounds, 1)), course_path.RADIUS
    problem = ca.Opti()
    step = _step(ca, craft)
    times = problem.variable(len(rows))
    states = problem.variable(STATES, NODES * len(rows) + 1)
    inputs = problem.variable(4, NODES * len(rows))
    rates = np.array(craft.max_rates)
    problem.subject_to(problem.bounded(0.05, times, 10.0))
    problem.subject_to(problem.bounded(0.0, inputs[0, :], craft.thrust_to_weight))
    for axis in range(3):
        problem.subject_to(problem.bounded(-rates[axis], inputs[1 + axis, :], rates[axis]))
    problem.subject_to(states[2, :] >= radius)
    problem.subject_to(states[:3, 0] == np.array(course_path.start(track)))
    problem.subject_to(states[3:, 0] == np.array([0, 0, 0, 1.0, 0, 0, 0]))
    for n, row in enumerate(rows):
        for k in range(n * NODES, (n + 1) * NODES):
            problem.subject_to(states[:, k + 1] == step(states[:, k], inputs[:, k], times[n] / NODES))
        off, normal, left, up = states[:3, (n + 1) * NODES] - row[:3], row[3:6], row[6:9], row[9:12]
        problem.subject_to(ca.dot(off, normal) == 0)
        problem.subject_to(ca.dot(states[7:, (n + 1) * NODES], normal) >= 0)
        problem.subject_to(problem.bounded(radius - row[12], ca.dot(off, left), row[12] - radius))
        problem.subject_to(problem.bounded(radius - row[13], ca.dot(off, up), row[13] - radius))
    problem.minimize(ca.sum1(times) + CALM * ca.sumsqr(inputs[1:, :]) / NODES)
    guess, spent = _guess(track, rounds, len(rows))
    problem.set_initial(states, guess)
    problem.set_initial(times, spent)
    problem.set_initial(inputs, np.tile([[1.0], [0.0], [0.0], [0.0]], NODES * len(rows)))
    problem.solver("ipopt", {"print_time": False}, {"print_level": 0, "max_iter": 3000, "sb": "yes"})
    try:
        found = problem.solve()
    except RuntimeError:
        raise UsageError(f"--reference: course {track.name}: the solver found no flight, wanted a course with one") from None
    state = np.array(found.value(states)).T
    return Optimum(float(np.sum(found.value(times))), state[:, :3], np.linalg.norm(state[:, 7:], axis=1))


def _step(ca: Any, craft: Airframe) -> Any:
    """One Runge-Kutta step as a function of state, input and time."""
    state, given, dt = ca.MX.sym("state", STATES), ca.MX.sym("given", 4), ca.MX.sym("dt")

    def slope(s: Any) -> Any:
        x, y, z, w = s[3], s[4], s[5], s[6]
        p, q, r = given[1], given[2], given[3]
        axis = ca.vertcat(2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))
        turning = 0.5 * ca.vertcat(
            w * p + y * r - z * q, w * q + z * p - x * r, w * r + x * q - y * p, -x * p - y * q - z * r
        )
        drag = craft.linear_drag / craft.mass * s[7:]
        return ca.vertcat(s[7:], turning, GRAVITY * (given[0] * axis - ca.DM([0, 0, 1])) - drag)

    k1 = slope(state)
    k2 = slope(state + dt / 2 * k1)
    k3 = slope(state + dt / 2 * k2)
    k4 = slope(state + dt * k3)
    after = state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return ca.Function("step", [state, given, dt], [after])


def _guess(track: Track, rounds: int, gates: int) -> tuple[Sums, Sums]:
    """States at the nodes, and times from gate to gate, along the smooth way at GUESS m/s."""
    curve = course_path.curve(track, rounds)
    found, spent = np.zeros((STATES, NODES * gates + 1)), np.zeros(gates)
    found[6] = 1.0
    for n in range(gates):
        part = curve[n * course_path.POINTS : (n + 1) * course_path.POINTS + 1]
        chosen = part[np.linspace(0, course_path.POINTS, NODES + 1).astype(int)]
        found[:3, n * NODES : (n + 1) * NODES + 1] = chosen.T
        spent[n] = np.linalg.norm(np.diff(part, axis=0), axis=1).sum() / GUESS
        found[7:, n * NODES : (n + 1) * NODES] = np.diff(chosen, axis=0).T / (spent[n] / NODES)
    found[7:, 0] = 0.0
    return found, spent
