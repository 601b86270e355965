"""How far a fast vehicle still gets when the guide takes over now: simulated flights to rest from its present state.

Sixteen vehicles are flown with the equations of motion and the body-rate loop of the airframe: a weak and a strong plant,
each after eight last commands of the policy: the one that was sent last; and of those that nobody has seen yet none, a
hover, and full thrust, level and with turns at full rate. Then the guide flies them to where they are now. What is told is
the farthest that any of them gets along each axis until it is slow. It is a prediction by the model and no proof
(docs/stopping.md).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from spike_ctrl._files.arrays import Floats, Number
from spike_ctrl._files.kernel import FASTMATH, kernel
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import Airframe
from spike_ctrl.control import geometric_guide
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.control.trajectory import Vector
from spike_ctrl.flight.attitude import Quaternion
from spike_ctrl.sim import dynamics, rate_loop
from spike_ctrl.sim.dynamics import (  # fmt: skip
    AT,
    LANES,
    POSITION,
    QUATERNION,
    RATE_SETPOINT,
    RATES,
    ROTORS,
    TARGET_COS,
    TARGET_SIN,
    VELOCITY,
    rk4_lane,
    unpack_arms,
)
from spike_ctrl.sim.observation import SIZE, observe_lane
from spike_ctrl.sim.rate_loop import SUBSTEPS

_act = geometric_guide._act
_NO_ROTORS, _NONE = geometric_guide._NO_ROTORS, geometric_guide._NO_DISTURBANCE
_OLD = np.array(  # of the last commands: whether it is the one that was sent, collective, roll, pitch rate
    [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 1], [0, 1, 1, -1], [0, 1, -1, 1], [0, 1, -1, -1]],
    np.float32,
)


@dataclass(frozen=True)
class StopLimits:
    """What is allowed for in a prediction."""

    dead: float = within(0.05, 0.0, 0.5, "Time for which commands of the policy still act.", "s")
    unknown: float = within(
        0.02, 0.0, 0.1, "The last part of it, in which the command is one that nobody has seen yet.", "s"
    )
    spread: float = within(0.1, 0.0, 0.4, "Share by which the thrust of the true vehicle may differ.", "")
    slow: float = within(0.5, 0.05, 5.0, "A vehicle has stopped below this speed.", "m/s")
    longest: float = within(3.0, 0.5, 10.0, "Longest time of a simulated stop.", "s")


class StopFlights:
    """Predicts stops of an airframe of the layout `rates` that this guide brakes."""

    def __init__(self, craft: Airframe, guide: GeometricGuide, rate_hz: float = 100.0, limits: StopLimits = StopLimits()):
        dt = 1 / (rate_hz * SUBSTEPS)
        self.craft, self.limits = craft, limits
        self._buffer = dynamics.allocate(LANES, craft)
        thrust = np.repeat([1 - limits.spread, 1 + limits.spread], LANES // 2)
        for row in range(dynamics.THRUST, dynamics.THRUST + 3):
            dynamics.write(self._buffer, row, thrust * dynamics.read(self._buffer, row, LANES))
        self._begin = self._buffer.copy()
        dead, unknown = round(limits.dead * rate_hz), round(limits.unknown * rate_hz)
        self._fixed: tuple[Any, ...] = (
            _OLD, np.float32(dt), dynamics.geometry(craft), rate_loop.constants(craft, dt), _late(craft, dt), dead - unknown,
            dead, round(limits.longest * rate_hz), np.float32(limits.slow), guide._nominal, guide._gains, guide._mixer,
            guide._dt, guide._limits,
        )  # fmt: skip

    def reach(
        self, velocity: Vector, quaternion: Quaternion, rates: Vector, sent: tuple[float, ...] | None
    ) -> tuple[Vector, Vector]:
        """The farthest ways (m, world) to west, south and below, at most 0, and to east, north and above, at least 0.

        velocity: m/s, ENU. quaternion: x, y, z, w, body FLU to world. rates: rad/s, body. sent: the last command; None: a
        hover.
        """
        self._buffer[:] = self._begin
        action = np.array(sent or (0.0, 0.0, 0.0, 0.0), np.float32)
        state = np.array([*quaternion, *velocity, *rates], np.float32)
        low, high = np.zeros(3, np.float32), np.zeros(3, np.float32)
        _stop(self._buffer, state, action, low, high, *self._fixed)
        (a, b, c), (d, e, f) = low.tolist(), high.tolist()
        return (a, b, c), (d, e, f)


def _late(craft: Airframe, dt: float) -> int:
    """After how many substeps of a control step an answer acts; SUBSTEPS: in the next one."""
    return min(rate_loop.delay_substeps(craft, dt), SUBSTEPS)


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def _stop(
    buffer: Floats, state: Floats, action: Floats, low: Floats, high: Floats, old: Floats, dt: Number, arms: Floats,
    loop: Floats, late: int, known: int, dead: int, longest: int, slow: Number, plant: Floats, gains: Floats, mixer: Floats,
    step: Number, limits: Floats,
) -> None:  # fmt: skip
    reach, c, spin = unpack_arms(arms), rate_loop.unpack(loop), (arms[8], arms[9], arms[10], arms[11])
    seen, answer = np.empty((LANES, SIZE), np.float32), np.zeros((LANES, 4), np.float32)
    integral, moving = np.zeros((LANES, 3), np.float32), np.ones(LANES, np.bool_)
    x, y, z, w = state[0], state[1], state[2], state[3]
    cos, sin = np.float32(1) - np.float32(2) * (y * y + z * z), np.float32(2) * (x * y + w * z)
    size = max(np.sqrt(cos * cos + sin * sin), np.float32(1e-6))
    thrust = rate_loop.wanted_thrust(action[0], c)
    for n in range(LANES):
        lane = np.uint64(n)
        for i in range(4):
            buffer[lane + AT[QUATERNION + i]] = state[i]
            buffer[lane + AT[ROTORS + i]] = np.sqrt(thrust)
        for i in range(3):
            buffer[lane + AT[VELOCITY + i]], buffer[lane + AT[RATES + i]] = state[4 + i], state[7 + i]
        buffer[lane + AT[TARGET_COS]], buffer[lane + AT[TARGET_SIN]] = cos / size, sin / size
        rate_loop.begin(buffer, lane)
        for i in range(4):
            buffer[lane + AT[RATE_SETPOINT + i]] = action[i]
    for t in range(longest):
        for n in range(LANES):
            o = observe_lane(buffer, np.uint64(n))
            for i in range(SIZE):
                seen[n, i] = o[i]
        if t < dead:
            for n in range(LANES):
                row = old[n % len(old)]
                for i in range(4):
                    answer[n, i] = action[i] if row[0] > 0 or t < known else (row[1 + i] if i < 3 else np.float32(0))
        else:
            _act(seen, _NO_ROTORS, _NONE, plant, False, False, gains, mixer, step, integral, answer, True, limits)
        for part in range(SUBSTEPS):
            for n in range(LANES):
                lane = np.uint64(n)
                if part == late:
                    for i in range(4):
                        buffer[lane + AT[RATE_SETPOINT + i]] = answer[n, i]
                rate_loop.rate_lane(buffer, lane, c, spin)
                rk4_lane(buffer, lane, dt, reach, None)
        for n in range(LANES if late == SUBSTEPS else 0):
            for i in range(4):
                buffer[np.uint64(n) + AT[RATE_SETPOINT + i]] = answer[n, i]
        any_moves = False
        for n in range(LANES):
            lane, fast = np.uint64(n), np.float32(0)
            for i in range(3):
                place, speed = buffer[lane + AT[POSITION + i]], buffer[lane + AT[VELOCITY + i]]
                fast += speed * speed
                if moving[n]:
                    low[i], high[i] = min(low[i], place), max(high[i], place)
            if t > dead and fast < slow * slow:
                moving[n] = False
            any_moves = any_moves or moving[n]
        if not any_moves:
            break
