"""Rotors that have lost thrust or turn at a speed of their own: how that is drawn, and what the dynamics lack by it.

A rotor that has lost the share l of its thrust T(r) lacks the force -l T(r) z_b where it is, and its reaction torque. The
loss grows linearly from the time of the failure on. A rotor that is stuck from then on follows its own set-point.

s: the 17 state numbers of `dynamics`; lost: shares of thrust (4) that are missing now.
"""

from dataclasses import astuple, dataclass

import numpy as np

from spike_ctrl._files.arrays import Floats, Number, Scalars
from spike_ctrl._files.kernel import inlined
from spike_ctrl._files.ranges import within

_ZERO, _ONE, _TWO = (np.float32(x) for x in (0, 1, 2))
_INSTANT = np.float32(1e-6)  # s


@dataclass(frozen=True)
class RotorLoss:
    """One rotor fails in some episodes. It loses a share of its thrust, or it is stuck at a speed."""

    chance: float = within(0.0, 0.0, 1.0, "Share of the episodes in which a rotor fails.")
    least: float = within(0.0, 0.0, 1.0, "Smallest share of its thrust that it loses.")
    most: float = within(1.0, 0.0, 1.0, "Largest share of its thrust that it loses.")
    whole: float = within(0.0, 0.0, 1.0, "Share of the failures in which it loses all that `most` allows.")
    stuck: float = within(0.0, 0.0, 1.0, "Share of the failures in which it is stuck at a speed instead.")
    rotors: int = within(4, 1, 4, "How many rotors may fail, the first ones of the airframe.")
    earliest: float = within(0.0, 0.0, 100.0, "Earliest time of the failure.", "s")
    latest: float = within(0.0, 0.0, 100.0, "Latest time of the failure.", "s")
    over: float = within(0.0, 0.0, 1.0, "Longest time in which the thrust falls, 0 to x.", "s")
    grows: float = within(0.0, 0.0, 1.0, "Share of a training in which `most` grows from `least` to its value.")

    def array(self, progress: float = 1.0) -> Floats:
        """What `randomisation.draw` takes, float32 (9,). progress: of the training, 0 to 1."""
        drawn = np.array(astuple(self)[:-1], np.float32)
        if progress < self.grows:
            drawn[2] = self.least + (self.most - self.least) * progress / self.grows
        return drawn


@inlined
def lost_now(lost: Scalars, clock: Number, at: Number, over: Number) -> Scalars:
    """Shares of thrust that are missing at the time `clock` (s), of those in the end; at, over: s."""
    part = (clock - at + _INSTANT) / (over + _INSTANT)
    part = part if part > _ZERO else _ZERO
    part = part if part < _ONE else _ONE
    return part * lost[0], part * lost[1], part * lost[2], part * lost[3]


@inlined
def in_force(command: Scalars, stuck: Scalars, clock: Number, at: Number) -> Scalars:
    """The rotors' set-points: their commands or, where `stuck` is not negative, from the failure on that."""
    failed = clock >= at
    return (
        stuck[0] if failed & (stuck[0] >= _ZERO) else command[0],
        stuck[1] if failed & (stuck[1] >= _ZERO) else command[1],
        stuck[2] if failed & (stuck[2] >= _ZERO) else command[2],
        stuck[3] if failed & (stuck[3] >= _ZERO) else command[3],
    )


@inlined
def by_given(gradient: Scalars, stuck: Scalars, clock: Number, at: Number) -> Scalars:
    """The gradient with respect to the commands that `in_force` takes, from that of the set-points that it gives."""
    z0, z1 = stuck[0] if stuck[0] < _ZERO else _ZERO, stuck[1] if stuck[1] < _ZERO else _ZERO
    z2, z3 = stuck[2] if stuck[2] < _ZERO else _ZERO, stuck[3] if stuck[3] < _ZERO else _ZERO
    found: Scalars = in_force(gradient, (z0, z1, z2, z3), clock, at)
    return found


@inlined
def without(disturbance: Scalars, s: Scalars, plant: Scalars, arms: Scalars, lost: Scalars) -> Scalars:
    """Force (N, world) and torque (N m, body) of the disturbance less what the rotors lack."""
    _, _, _, qx, qy, qz, qw, _, _, _, _, _, _, r0, r1, r2, r3 = s
    c0, c1, c2, torque = plant[4], plant[5], plant[6], plant[7]
    t0, t1 = lost[0] * (c0 + r0 * (c1 + r0 * c2)), lost[1] * (c0 + r1 * (c1 + r1 * c2))
    t2, t3 = lost[2] * (c0 + r2 * (c1 + r2 * c2)), lost[3] * (c0 + r3 * (c1 + r3 * c2))
    x0, x1, x2, x3, y0, y1, y2, y3, s0, s1, s2, s3 = arms
    lift = t0 + t1 + t2 + t3
    return (
        disturbance[0] - _TWO * (qx * qz + qw * qy) * lift,
        disturbance[1] - _TWO * (qy * qz - qw * qx) * lift,
        disturbance[2] - (_ONE - _TWO * (qx * qx + qy * qy)) * lift,
        disturbance[3] - (y0 * t0 + y1 * t1 + y2 * t2 + y3 * t3),
        disturbance[4] + (x0 * t0 + x1 * t1 + x2 * t2 + x3 * t3),
        disturbance[5] - torque * (s0 * t0 + s1 * t1 + s2 * t2 + s3 * t3),
    )


@inlined
def without_vjp(s: Scalars, plant: Scalars, arms: Scalars, lost: Scalars, by_force: Scalars, by_torque: Scalars) -> Scalars:
    """The gradient with respect to quaternion and rotor speeds (8 numbers), from that of force and torque."""
    _, _, _, qx, qy, qz, qw, _, _, _, _, _, _, r0, r1, r2, r3 = s
    c0, c1, c2, torque = plant[4], plant[5], plant[6], plant[7]
    x0, x1, x2, x3, y0, y1, y2, y3, s0, s1, s2, s3 = arms
    fx, fy, fz = by_force
    gx, gy, gz = by_torque[0], by_torque[1], torque * by_torque[2]
    lift = (
        lost[0] * (c0 + r0 * (c1 + r0 * c2)) + lost[1] * (c0 + r1 * (c1 + r1 * c2))
        + lost[2] * (c0 + r2 * (c1 + r2 * c2)) + lost[3] * (c0 + r3 * (c1 + r3 * c2))
    )  # fmt: skip
    along = _TWO * (qx * qz + qw * qy) * fx + _TWO * (qy * qz - qw * qx) * fy + (_ONE - _TWO * (qx * qx + qy * qy)) * fz
    double = _TWO * lift
    return (
        -double * (qz * fx - qw * fy - _TWO * qx * fz),
        -double * (qw * fx + qz * fy - _TWO * qy * fz),
        -double * (qx * fx + qy * fy),
        -double * (qy * fx - qx * fy),
        -lost[0] * (c1 + _TWO * c2 * r0) * (along + y0 * gx - x0 * gy + s0 * gz),
        -lost[1] * (c1 + _TWO * c2 * r1) * (along + y1 * gx - x1 * gy + s1 * gz),
        -lost[2] * (c1 + _TWO * c2 * r2) * (along + y2 * gx - x2 * gy + s2 * gz),
        -lost[3] * (c1 + _TWO * c2 * r3) * (along + y3 * gx - x3 * gy + s3 * gz),
    )
