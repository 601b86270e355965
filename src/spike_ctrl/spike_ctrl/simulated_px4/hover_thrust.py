"""The hover thrust, as PX4 estimates it in flight: with it, its own modes turn accelerations into thrust. Pure.

A Kalman filter of one number h. A thrust T that points up by a share c accelerates by g (c T / h - 1), with a noise that is
learnt. The settings are the defaults of PX4's module `mc_hover_thrust_estimator`. Left out are its recovery after a sudden
change of h, its distrust of fast level flight, and what the mixer could not give of a thrust. It hears no thrust while a
policy commands the motors, as in PX4.
"""

import math
from typing import NamedTuple

from spike_ctrl.airframe import GRAVITY
from spike_ctrl.flight.attitude import rotate, z_axis
from spike_ctrl.px4.frames import Quaternion, Vector

DRIFT = 0.0036  # 1/s, HTE_HT_NOISE
GATE = 3.0  # deviations, HTE_ACC_GATE
UNSURE = 0.1  # deviation at first, HTE_HT_ERR_INIT
RANGE, LEAST, MOST = 0.2, 0.1, 0.9  # around MPC_THR_HOVER, HTE_THR_RANGE; never beyond
FAST = 2.0  # m/s up or down, HTE_VZ_THR: faster, an acceleration counts less
SURE, SURE_FOR = 0.001, 2.0  # variance and s, from which on it is used
NOISE, NOISE_LEAST, NOISE_MOST = 5.0, 1.0, 400.0  # variance of the acceleration, m^2/s^4
LEARNS, SETTLES = 2.0, 1.0  # s: time constants of that noise and of the mean residual
FLIES = 1.0  # m above the ground


class HoverThrust(NamedTuple):
    """value: 0..1. noise: variance of the acceleration (m^2/s^4). residual: its mean (m/s^2). sure_since: s."""

    value: float
    variance: float = UNSURE**2
    noise: float = NOISE
    residual: float = 0.0
    airborne: bool = False
    sure_since: float = math.inf

    def used(self, now: float) -> bool:
        """Whether the autopilot's own modes use it at `now` (s)."""
        return now - self.sure_since >= SURE_FOR


def follow(
    h: HoverThrust, prior: float, thrust: float, quaternion: Quaternion, force: Vector, height: float, climb: float,
    now: float, dt: float,
) -> HoverThrust:  # fmt: skip
    """After `dt` s of flight with this thrust (0..1).

    prior: MPC_THR_HOVER. quaternion: body to world. force: specific, FLU, m/s^2. height: above the ground, m. climb: m/s.
    """
    if not (airborne := h.airborne or height > FLIES):
        return HoverThrust(min(max(prior, LEAST), MOST))
    lifts, up = thrust * z_axis(quaternion)[2], rotate(quaternion, force)[2] - GRAVITY
    slope = -GRAVITY * lifts / h.value**2
    variance = h.variance + (DRIFT * dt) ** 2
    noise = h.noise * max(abs(climb) - FAST + 1, 1) ** 2
    spread = slope * slope * variance + noise
    error = up - GRAVITY * (lifts / h.value - 1)
    passes, value = error * error < GATE * GATE * spread, h.value
    if passes:
        value += variance * slope / spread * error
        value = min(max(value, prior - RANGE, LEAST), prior + RANGE, MOST)
        variance = max(variance * noise / spread, 1e-10)
        error = up - GRAVITY * (lifts / value - 1)
    share = dt / (SETTLES + dt)
    residual = h.residual + share * (error - h.residual)
    learnt = h.noise + dt / (LEARNS + dt) * ((error - residual) ** 2 + slope * slope * variance - h.noise)
    is_sure = variance < SURE and (passes or h.used(now))
    since = min(h.sure_since, now) if is_sure else math.inf
    return HoverThrust(value, variance, min(max(learnt, NOISE_LEAST), NOISE_MOST), residual, airborne, since)
