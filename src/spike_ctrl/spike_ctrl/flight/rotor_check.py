"""Whether one rotor gives less thrust than commanded, which one, and how much: layout `motors`. Pure.

What rates and velocity gain otherwise than the commanded rotors make them is compared, in a memory of about .1 s, with what
each rotor would take away if it were gone: a torque about roll, pitch and yaw, and thrust. The share of the rotor that
explains it best is by least squares. A torque that does not look like a rotor, of a gust or a lost link, is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.flight.actuator_faults import Motors, Turned
from spike_ctrl.flight.attitude import rotate_back
from spike_ctrl.flight.state_checks import Sample


@dataclass(frozen=True)
class RotorLimits:
    """turned: by whose motors; None where actions command rates."""

    turned: Turned | None = None
    lost: float = within(0.3, 0.05, 1.0, "Share of its thrust from which on a rotor counts as lost.", "")
    apart: float = within(2.5, 0.1, 1000.0, "Least gain of rates, roll, pitch and yaw, that is judged.", "rad/s")
    explained: float = within(0.85, 0.0, 1.0, "Share of the gain that the lost rotor has to explain.", "")
    memory: float = within(0.1, 0.01, 10.0, "Time in which a gain is forgotten.", "s")
    time: float = within(0.03, 0.0, 1.0, "Time for which the same rotor has to be found.", "s")
    thrust: float = within(5.0, 0.0, 100.0, "Weight of a gain of velocity along the body, beside one of rates.", "rad/m")
    late: float = within(0.01, 0.0, 1.0, "Delay of the link, in addition to the one state for which a command waits.", "s")
    pause: float = within(0.15, 0.01, 10.0, "Longest pause of states; after a longer one the check starts anew.", "s")


class RotorTrack(NamedTuple):
    """last: the state before. waiting: the last action. speeds: of the rotors, 0 to 1, by the actions.

    apart: gains of the rates (rad/s) and of the velocity along the body, weighted, otherwise than commanded. given: of each
    rotor, thrust times time (N s). since: stamp (s) since when `rotor` is suspected. lost: rotor and share, if found.
    """

    last: Sample | None = None
    waiting: Motors | None = None
    speeds: Motors | None = None
    apart: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    given: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    rotor: int | None = None
    since: float = 0.0
    lost: tuple[int, float] | None = None


def follow_rotors(track: RotorTrack, sample: Sample, motors: Motors | None, limits: RotorLimits) -> RotorTrack:
    """After an accepted state. motors: the action since the one before; None where nobody commands motors."""
    if motors is None or limits.turned is None:
        return track if track.last is None else RotorTrack()
    last, craft = track.last, limits.turned.craft
    dt = 0.0 if last is None else sample.stamp - last.stamp
    if last is None or track.waiting is None or track.speeds is None or not 0 < dt <= limits.pause:
        mean = (sum(motors) / 4 + 1) / 2
        return RotorTrack(sample, motors, (mean, mean, mean, mean))
    speeds, kept = limits.turned.after(track.speeds, track.waiting, dt, limits.late), math.exp(-dt / limits.memory)
    thrusts = [craft.thrust(speed) for speed in speeds]
    (jx, jy, jz), steered, moved = craft.inertia, limits.turned.by_rotors(speeds), limits.turned.by_motion(last)
    p, q, r = last.rates
    turning = craft.torque_per_thrust * sum(s * f for s, f in zip(craft.rotor_spin, thrusts, strict=True))
    angular = (
        *(a + b for a, b in zip(steered, moved, strict=True)),
        (turning + (jx - jy) * p * q - craft.angular_drag * r) / jz,
    )
    vx, vy, vz = (a - b for a, b in zip(sample.velocity, last.velocity, strict=True))
    along = rotate_back(last.quaternion, (vx, vy, vz + GRAVITY * dt))[2] - sum(thrusts) / craft.mass * dt
    gained = [a - b - c * dt for a, b, c in zip(sample.rates, last.rates, angular, strict=True)] + [limits.thrust * along]
    apart = tuple(kept * a + g for a, g in zip(track.apart, gained, strict=True))
    given = tuple(kept * a + f * dt for a, f in zip(track.given, thrusts, strict=True))
    track = track._replace(last=sample, waiting=motors, speeds=speeds, apart=apart, given=given)
    size, best, rotor, share = sum(a * a for a in apart), -1.0, 0, 0.0
    for n, impulse in enumerate(given):  # what a lost rotor takes away
        unit = (
            -craft.rotor_y[n] / jx, craft.rotor_x[n] / jy, -craft.torque_per_thrust * craft.rotor_spin[n] / jz,
            -limits.thrust / craft.mass,
        )  # fmt: skip
        taken = [impulse * u for u in unit]
        square, product = sum(t * t for t in taken), sum(t * a for t, a in zip(taken, apart, strict=True))
        if product > 0 and (explained := product * product / square / max(size, 1e-12)) > best:
            best, rotor, share = explained, n, product / square
    judged = math.hypot(*apart[:3]) > limits.apart and best > limits.explained and share > limits.lost
    if not judged:
        return track._replace(rotor=None, lost=None)
    if rotor != track.rotor:
        return track._replace(rotor=rotor, since=sample.stamp, lost=None)
    certain = sample.stamp - track.since >= limits.time
    return track._replace(lost=(rotor, min(share, 1.0)) if certain else None)
