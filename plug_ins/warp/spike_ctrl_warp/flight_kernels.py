"""A step of a segment of flight as kernels, one thread for each vehicle: see, command, move, score.

Warp derives the backward kernels of `see`, `see_late`, `see_voltage`, `move_motors`, `move_rates` and `price`. A backward
kernel adds to gradients; each thread to those of its own vehicle alone, so that the sums are the same on each run.
"""

import warp as wp

from spike_ctrl.learn.objective import Objective
from spike_ctrl.sim import observation, randomisation, sensor_noise
from spike_ctrl_warp import loop_equations as rate_loop
from spike_ctrl_warp import vehicle_equations as vehicle
from spike_ctrl_warp.vehicle_equations import Craft, put3, put4, vec3_at, vec4_at

wp.set_module_options({"max_unroll": observation.SIZE, "fast_math": False})

POSITION, QUATERNION, VELOCITY, RATES, ROTORS = (
    vehicle.POSITION, vehicle.QUATERNION, vehicle.VELOCITY, vehicle.RATES, vehicle.ROTORS
)  # fmt: skip
CHARGE, VOLTAGE, CLOCK = vehicle.CHARGE, vehicle.VOLTAGE, vehicle.CLOCK
SETPOINT, INTEGRAL, GYRO, GYRO_SLOPE = vehicle.SETPOINT, vehicle.INTEGRAL, vehicle.GYRO, vehicle.GYRO_SLOPE
SEEN, MAX_DELAY, MAX_AGE = observation.SIZE, randomisation.MAX_DELAY, sensor_noise.MAX_AGE
STATE, MOVING = 17, vehicle.SIZE
TINY = 1e-12
Rows = wp.array2d(dtype=float)
Steps = wp.array3d(dtype=float)
Each = wp.array(dtype=float)

# Places in the array of an objective
WEIGHTS = {name: at for at, name in enumerate(Objective._fields)}
W_POSITION, W_VELOCITY, W_ATTITUDE, W_ACTION = (WEIGHTS[n] for n in ("position", "velocity", "attitude", "action"))
FAR, BOUNDARY, BOUNDARY_AT = WEIGHTS["far"], WEIGHTS["boundary"], WEIGHTS["boundary_at"]
SPEED, SPEED_AT, TILT, UPRIGHT = WEIGHTS["speed"], WEIGHTS["speed_at"], WEIGHTS["tilt"], WEIGHTS["upright"]
BODY_RATE, BODY_RATE_AT, ACTION_RATE = WEIGHTS["body_rate"], WEIGHTS["body_rate_at"], WEIGHTS["action_rate"]
DECAY, LIMIT = WEIGHTS["decay"], WEIGHTS["limit"]


@wp.func
def in_force(command: Steps, t: int, late: float, i: int, n: int) -> float:
    """The command i that takes effect at step t: it was given `late` steps before."""
    whole = int(late)
    part = late - float(whole)
    at = t + MAX_DELAY - whole
    return (1.0 - part) * command[at, i, n] + part * command[wp.max(at - 1, 0), i, n]


@wp.func
def put_observation(state: Rows, n: int, seen: Rows) -> None:
    """What is true of vehicle n, whose set-point is at the origin with a yaw of 0: rows 0 to 17."""
    put3(seen, 0, n, vec3_at(state, POSITION, n))
    turn = vehicle.rotation(vec4_at(state, QUATERNION, n))
    for i in range(3):
        for j in range(3):
            seen[3 + 3 * i + j, n] = turn[i, j]
    put3(seen, 12, n, vec3_at(state, VELOCITY, n))
    put3(seen, 15, n, vec3_at(state, RATES, n))


@wp.kernel
def see(state: Rows, noise: Rows, seen: Rows) -> None:
    """What the policy sees: `seen` [vehicle, number]."""
    n = wp.tid()
    turn = vehicle.rotation(vec4_at(state, QUATERNION, n))
    for i in range(3):
        seen[n, i] = state[POSITION + i, n] + noise[i, n]
        for j in range(3):
            seen[n, 3 + 3 * i + j] = turn[i, j] + noise[3 + 3 * i + j, n]
        seen[n, 12 + i] = state[VELOCITY + i, n] + noise[12 + i, n]
        seen[n, 15 + i] = state[RATES + i, n] + noise[15 + i, n]


@wp.kernel
def show(state: Rows, exact: Rows) -> None:
    """What is true now, as the newest of the recent observations: exact [18, vehicle]."""
    put_observation(state, wp.tid(), exact)


@wp.kernel
def see_late(recent: Steps, t: int, noise: Rows, turn: Rows, age: Each, seen: Rows) -> None:
    """`see` with samples that are late and turned; recent [MAX_AGE + T, 18, vehicle]."""
    n = wp.tid()
    whole = wp.min(int(age[n]), MAX_AGE)
    part = age[n] - float(whole)
    at = t + MAX_AGE - whole
    before = wp.max(at - 1, t)
    about = wp.vec3(turn[0, n], turn[1, n], turn[2, n])
    for i in range(3):
        seen[n, i] = (1.0 - part) * recent[at, i, n] + part * recent[before, i, n] + noise[i, n]
    for row in range(3):
        r = 3 + 3 * row
        x = (1.0 - part) * recent[at, r, n] + part * recent[before, r, n]
        y = (1.0 - part) * recent[at, r + 1, n] + part * recent[before, r + 1, n]
        z = (1.0 - part) * recent[at, r + 2, n] + part * recent[before, r + 2, n]
        seen[n, r] = x + y * about[2] - z * about[1] + noise[r, n]
        seen[n, r + 1] = y + z * about[0] - x * about[2] + noise[r + 1, n]
        seen[n, r + 2] = z + x * about[1] - y * about[0] + noise[r + 2, n]
    for i in range(12, SEEN):
        seen[n, i] = (1.0 - part) * recent[at, i, n] + part * recent[before, i, n] + noise[i, n]


@wp.kernel
def see_voltage(state: Rows, noise: Rows, middle: float, per_volt: float, seen: Rows) -> None:
    n = wp.tid()
    seen[n, SEEN] = (state[VOLTAGE, n] - middle) * per_volt + noise[SEEN, n]


@wp.kernel(enable_backward=False)
def command(output: Rows, noise: Rows, u: Rows, gain: Rows) -> None:
    """u [4, vehicle] of the action clip(tanh z + noise), z [vehicle, 4], and du/dz."""
    n = wp.tid()
    for i in range(4):
        a = wp.tanh(output[n, i])
        noisy = a + noise[i, n]
        u[i, n] = 0.5 * wp.clamp(noisy, -1.0, 1.0) + 0.5
        gain[i, n] = wp.where(wp.abs(noisy) < 1.0, 0.5 * (1.0 - a * a), 0.0)


@wp.kernel(enable_backward=False)
def command_back(by_u: Rows, gain: Rows, by_output: Rows) -> None:
    n = wp.tid()
    for i in range(4):
        by_output[n, i] = by_u[i, n] * gain[i, n]


@wp.func
def put_moved(
    before: Rows, target: wp.vec4, clock: float, plant: Rows, course: wp.vec3, c: Craft, n: int, after: Rows
) -> None:
    p = vehicle.plant_of(plant, n, clock, c)
    x, q, v, w, r = vehicle.advance(
        vec3_at(before, POSITION, n),
        vec4_at(before, QUATERNION, n),
        vec3_at(before, VELOCITY, n),
        vec3_at(before, RATES, n),
        vec4_at(before, ROTORS, n),
        target,
        p,
        c,
    )
    charge, voltage = vehicle.drained(before[CHARGE, n], before[VOLTAGE, n], vehicle.load_of(r), c)
    put3(after, POSITION, n, x - course)
    put4(after, QUATERNION, n, q)
    put3(after, VELOCITY, n, v)
    put3(after, RATES, n, w)
    put4(after, ROTORS, n, r)
    after[CHARGE, n] = charge
    after[VOLTAGE, n] = voltage
    after[CLOCK, n] = clock + c.dt * float(c.fails)


@wp.kernel
def move_motors(before: Rows, u: Steps, t: int, late: Each, course: Rows, plant: Rows, c: Craft, after: Rows) -> None:
    """A step under the rotor commands u [T + MAX_DELAY, 4, vehicle], in the frame of the set-point where it then is."""
    n = wp.tid()
    given = wp.vec4(
        in_force(u, t, late[n], 0, n),
        in_force(u, t, late[n], 1, n),
        in_force(u, t, late[n], 2, n),
        in_force(u, t, late[n], 3, n),
    )
    clock = before[CLOCK, n]
    target = vehicle.set_points(given, before[VOLTAGE, n], clock, plant, n, c)
    put_moved(before, target, clock, plant, vec3_at(course, 0, n), c, n, after)


@wp.func
def asked(u: Steps, t: int, late: Each, n: int) -> wp.vec4:
    return wp.vec4(
        2.0 * in_force(u, t, late[n], 0, n) - 1.0,
        2.0 * in_force(u, t, late[n], 1, n) - 1.0,
        2.0 * in_force(u, t, late[n], 2, n) - 1.0,
        2.0 * in_force(u, t, late[n], 3, n) - 1.0,
    )


@wp.kernel
def move_rates(
    before: Rows, u: Steps, t: int, substep: int, last: int, late: Each, course: Rows, plant: Rows, c: Craft, after: Rows
) -> None:
    """A substep, of which the last one of a step is number last - 1; the actions 2 u - 1 take effect in substep c.late."""
    n = wp.tid()
    set_point = vec4_at(before, SETPOINT, n)
    if substep == c.late:
        set_point = asked(u, t, late, n)
    given, integral, gyro, bent = rate_loop.turn(
        set_point,
        vec3_at(before, INTEGRAL, n),
        vec3_at(before, GYRO, n),
        vec3_at(before, GYRO_SLOPE, n),
        vec3_at(before, RATES, n),
        plant,
        n,
        c,
    )
    clock = before[CLOCK, n]
    target = vehicle.set_points(given, before[VOLTAGE, n], clock, plant, n, c)
    moved = wp.vec3(0.0, 0.0, 0.0)
    if substep + 1 == last:
        moved = vec3_at(course, 0, n)
        if c.late == last:
            set_point = asked(u, t, late, n)
    put_moved(before, target, clock, plant, moved, c, n, after)
    put4(after, SETPOINT, n, set_point)
    put3(after, INTEGRAL, n, integral)
    put3(after, GYRO, n, gyro)
    put3(after, GYRO_SLOPE, n, bent)


@wp.func
def over(value: float, threshold: float) -> float:
    return wp.where(value > threshold, value - threshold, 0.0)


@wp.func
def attitude_error(q: wp.vec4) -> float:
    """Angle (rad) of the attitude."""
    return 2.0 * wp.atan2(wp.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + TINY), wp.abs(q[3]))


@wp.kernel
def price(state: Rows, u: Steps, t: int, course: Rows, tick: float, rest: float, weights: Each, cost: Each) -> None:
    """What step t costs, see `learn.objective`; state: what it led to. Only its backward kernel runs in a training."""
    n = wp.tid()
    x = vec3_at(state, POSITION, n)
    q = vec4_at(state, QUATERNION, n)
    w = vec3_at(state, RATES, n)
    v = vec3_at(state, VELOCITY, n) - vec3_at(course, 0, n) / tick
    angle = attitude_error(q)
    total = weights[W_ATTITUDE] * angle * angle + weights[W_VELOCITY] * wp.dot(v, v)
    square = wp.dot(x, x)
    far = weights[FAR]
    if square > far * far:
        total += weights[W_POSITION] * far * (2.0 * wp.sqrt(square) - far)
    else:
        total += weights[W_POSITION] * square
    for i in range(3):
        outside = over(wp.abs(x[i]), weights[BOUNDARY_AT])
        total += weights[BOUNDARY] * outside * outside
    if wp.dot(v, v) > weights[SPEED_AT] * weights[SPEED_AT]:
        fast = wp.length(v) - weights[SPEED_AT]
        total += weights[SPEED] * fast * fast
    tilted = over(weights[UPRIGHT] - 1.0 + 2.0 * (q[0] * q[0] + q[1] * q[1]), 0.0)
    total += weights[TILT] * tilted * tilted
    if wp.dot(w, w) > weights[BODY_RATE_AT] * weights[BODY_RATE_AT]:
        spun = wp.length(w) - weights[BODY_RATE_AT]
        total += weights[BODY_RATE] * spun * spun
    for i in range(4):
        now = u[t + MAX_DELAY, i, n]
        change = now - u[t + MAX_DELAY - 1, i, n]
        total += weights[W_ACTION] * (now - rest) * (now - rest) + weights[ACTION_RATE] * change * change
    cost[n] = total


@wp.kernel(enable_backward=False)
def add_errors(state: Rows, u: Steps, t: int, course: Rows, tick: float, rest: float, sums: Rows) -> None:
    """Add to sums [vehicle, 5] the squared errors of position, velocity, attitude and command, and (change of u)^2."""
    n = wp.tid()
    x = vec3_at(state, POSITION, n)
    v = vec3_at(state, VELOCITY, n) - vec3_at(course, 0, n) / tick
    angle = attitude_error(vec4_at(state, QUATERNION, n))
    sums[n, 0] = sums[n, 0] + wp.dot(x, x)
    sums[n, 1] = sums[n, 1] + wp.dot(v, v)
    sums[n, 2] = sums[n, 2] + angle * angle
    for i in range(4):
        now = u[t + MAX_DELAY, i, n]
        change = now - u[t + MAX_DELAY - 1, i, n]
        sums[n, 3] = sums[n, 3] + (now - rest) * (now - rest)
        sums[n, 4] = sums[n, 4] + change * change


@wp.kernel(enable_backward=False)
def restrain(weights: Each, gradient: Rows) -> None:
    """Decay the gradient of each vehicle's state and keep its norm within the limit."""
    n = wp.tid()
    square = wp.float32(0.0)
    for i in range(STATE):
        square += gradient[i, n] * gradient[i, n]
    norm = wp.sqrt(square)
    factor = weights[DECAY] * wp.where(norm > weights[LIMIT], weights[LIMIT] / norm, 1.0)
    for i in range(MOVING):
        gradient[i, n] = factor * gradient[i, n]
