"""The kernel of the open-loop prediction: the simulation's own step, corrected by the observer as long as history lasts."""

import math

import numpy as np

from spike_ctrl._files.arrays import Floats, Integers, Number, Scalars
from spike_ctrl._files.kernel import FASTMATH, inlined, kernel
from spike_ctrl.sim.dynamics import (
    AT,
    COMMAND,
    FORCE,
    LANES,
    MASS,
    ROWS,
    VOLTAGE,
    delay_lane,
    rk4_lane,
    unpack_arms,
)

_LANES = np.uint64(LANES)
_ZERO, _HALF, _ONE, _TWO = (np.float32(x) for x in (0.0, 0.5, 1.0, 2.0))
STATE = 13  # position, quaternion, velocity, body rates


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy")
def fly_observed(
    buffer: Floats,
    seen: Floats,
    command: Floats,
    voltage: Floats,
    along: Floats,
    around: Floats,
    fades: Floats,
    ends: Integers,
    tick: Number,
    arms: Floats,
    extension: Scalars,
    push: Floats,
    found: Floats,
) -> None:
    """Fly W vehicles through the history, len(along) steps, and on to the last of the horizons `ends`.

    seen (T, W, 13), command (T, W, 4), voltage (T, W). along, around (history, 4, 2): the observer's gains of translation
    and rotation; fades (2,): what a step leaves of their gusts. push (W, 12): trim and gust, linear (m/s^2) and angular
    (rad/s^2), changed in place. found (H, W, 13): the states at the horizons.
    """
    reach, history, rate = unpack_arms(arms), len(along), _ONE / tick
    for first in range(0, seen.shape[1], LANES):
        base, used, reached = np.uint64(first * ROWS), min(LANES, seen.shape[1] - first), 0
        for step in range(history + ends[-1]):
            for k in range(used):
                n, lane = first + k, base + np.uint64(k)
                mass = buffer[lane + AT[MASS]]
                for i in range(3):
                    buffer[lane + AT[FORCE + i]] = mass * (push[n, i] + push[n, 6 + i])
                    inertia = buffer[lane + AT[MASS + 1 + i]]
                    buffer[lane + AT[FORCE + 3 + i]] = inertia * (push[n, 3 + i] + push[n, 9 + i])
                    push[n, 6 + i] *= fades[0]
                    push[n, 9 + i] *= fades[1]
                for i in range(4):
                    buffer[lane + AT[COMMAND + i]] = min(max(command[step, n, i], _ZERO), _ONE)
                if voltage[step, n] > _ZERO:  # measured, so that the battery's own model does not matter
                    buffer[lane + AT[VOLTAGE]] = voltage[step, n]
            for lane in range(_LANES):
                delay_lane(buffer, base + lane, rate)
            for lane in range(_LANES):
                rk4_lane(buffer, base + lane, tick, reach, extension)
            if step < history:
                for k in range(used):
                    n, lane = first + k, base + np.uint64(k)
                    _correct_place(buffer, lane, seen[step + 1, n], along[step], push[n])
                    _correct_attitude(buffer, lane, seen[step + 1, n], around[step], push[n])
            elif step + 1 - history == ends[reached]:
                for k in range(used):
                    for i in range(STATE):
                        found[reached, first + k, i] = buffer[base + np.uint64(k) + AT[i]]
                reached += 1


@inlined
def _correct_place(buffer: Floats, lane: Number, seen: Floats, gain: Floats, push: Floats) -> None:
    for i in range(3):
        place = seen[i] - buffer[lane + AT[i]]
        speed = seen[7 + i] - buffer[lane + AT[7 + i]]
        buffer[lane + AT[i]] += gain[0, 0] * place + gain[0, 1] * speed
        buffer[lane + AT[7 + i]] += gain[1, 0] * place + gain[1, 1] * speed
        push[i] += gain[2, 0] * place + gain[2, 1] * speed
        push[6 + i] += gain[3, 0] * place + gain[3, 1] * speed


@inlined
def _correct_attitude(buffer: Floats, lane: Number, seen: Floats, gain: Floats, push: Floats) -> None:
    x, y, z, w = buffer[lane + AT[3]], buffer[lane + AT[4]], buffer[lane + AT[5]], buffer[lane + AT[6]]
    # The small rotation, in the body, from the simulated attitude to the measured one.
    side = _TWO if x * seen[3] + y * seen[4] + z * seen[5] + w * seen[6] > _ZERO else -_TWO
    turn = (
        side * (w * seen[3] - x * seen[6] - y * seen[5] + z * seen[4]),
        side * (w * seen[4] - y * seen[6] - z * seen[3] + x * seen[5]),
        side * (w * seen[5] - z * seen[6] - x * seen[4] + y * seen[3]),
    )
    spin = (
        seen[10] - buffer[lane + AT[10]],
        seen[11] - buffer[lane + AT[11]],
        seen[12] - buffer[lane + AT[12]],
    )
    for i in range(3):
        buffer[lane + AT[10 + i]] += gain[1, 0] * turn[i] + gain[1, 1] * spin[i]
        push[3 + i] += gain[2, 0] * turn[i] + gain[2, 1] * spin[i]
        push[9 + i] += gain[3, 0] * turn[i] + gain[3, 1] * spin[i]
    a = _HALF * (gain[0, 0] * turn[0] + gain[0, 1] * spin[0])
    b = _HALF * (gain[0, 0] * turn[1] + gain[0, 1] * spin[1])
    c = _HALF * (gain[0, 0] * turn[2] + gain[0, 1] * spin[2])
    p, q, r = x + w * a + y * c - z * b, y + w * b + z * a - x * c, z + w * c + x * b - y * a
    s = w - x * a - y * b - z * c
    norm = _ONE / math.sqrt(p * p + q * q + r * r + s * s)
    buffer[lane + AT[3]] = p * norm
    buffer[lane + AT[4]] = q * norm
    buffer[lane + AT[5]] = r * norm
    buffer[lane + AT[6]] = s * norm
