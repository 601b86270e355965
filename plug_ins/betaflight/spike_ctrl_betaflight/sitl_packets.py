"""The UDP packets of Betaflight's SITL: our motion in, motor commands out, a remote control in. Pure.

The IMU packet (port 9003) has 18 doubles: time, body rates, force, attitude w x y z, velocity, position, pressure. Firmware
before 2026.6 turns y and z of the rates and all of the force around; later firmware leaves z of the rates. What the
firmware must get is FLU: a roll to the right, nose down, a turn to the left and a force upwards are positive. Motor commands
come as pulses (port 9001) in Betaflight's order, which has been the same in all versions; the order of port 9002 has not.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from spike_ctrl.px4.frames import Quaternion, Vector, rotate_back

if TYPE_CHECKING:
    from spike_ctrl_sitl.motor_body import BodyMotion

PULSES, MOTORS, STATE, REMOTE = 9001, 9002, 9003, 9004  # UDP ports
MSP = 5761  # TCP port of UART1
CHANNELS = 16
FROM_BETAFLIGHT = (1, 0, 2, 3)  # Betaflight: back-right, front-right, back-left, front-left; ours begins front-right
GRAVITY = 9.80665
IDLE, SPAN = 1000.0, 1000.0  # us


class SensedMotion(NamedTuple):
    """What the firmware's sensors feel. rates: rad/s, force: m/s^2 (specific), FLU. The rest in ENU, m, m/s."""

    rates: Vector
    force: Vector
    quaternion: Quaternion
    velocity: Vector
    position: Vector


def sensed_of(motion: BodyMotion) -> SensedMotion:
    """What the sensors feel of a true motion."""
    force = felt(motion.acceleration, motion.quaternion)
    return SensedMotion(motion.rates, force, motion.quaternion, motion.velocity, motion.position)


def felt(acceleration: Vector, quaternion: Quaternion) -> Vector:
    """The specific force (m/s^2, FLU) of an acceleration (ENU): g upwards at rest."""
    x, y, z = acceleration
    return rotate_back(quaternion, (x, y, z + GRAVITY))


def state(now: float, sensed: SensedMotion, yaw_kept: bool) -> bytes:
    """The packet for port 9003. yaw_kept: the firmware takes z of the rates as it is (2026.6 and later)."""
    p, q, r = sensed.rates
    x, y, z, w = sensed.quaternion
    if not yaw_kept:  # from FLU to north, west, up; this firmware turns the pitch of an attitude around once more
        w, x, y, z = _nwu(sensed.quaternion)
    turned = (w, x, -y, -z)
    return struct.pack(
        "<18d", now, p, -q, r if yaw_kept else -r, *(-f for f in sensed.force), *turned, *sensed.velocity,
        *sensed.position, 101325.0 - 12.0 * sensed.position[2],
    )  # fmt: skip


def _nwu(quaternion: Quaternion) -> tuple[float, float, float, float]:
    """An attitude from FLU to ENU, as w, x, y, z from FLU to north, west, up."""
    x, y, z, w = quaternion
    half = 0.5**0.5  # ENU turned by 90 degrees
    return half * (w - z), half * (x - y), half * (y + x), half * (z + w)


def motors(packet: bytes) -> tuple[float, ...]:
    """Commands in 0..1 in the airframe's order, from a packet of port 9001."""
    if len(packet) < 20:
        raise ValueError(f"motor packet: found {len(packet)} bytes, wanted at least 20")
    pulses = struct.unpack_from("<4f", packet, 4)
    return tuple(min(max((pulses[n] - IDLE) / SPAN, 0.0), 1.0) for n in FROM_BETAFLIGHT)


def remote(now: float, pulses: Sequence[int]) -> bytes:
    """The packet for port 9004: pulses (us) of roll, pitch, throttle, yaw and the switches; the rest is 1000."""
    return struct.pack(f"<d{CHANNELS}H", now, *[*pulses, *[1000] * CHANNELS][:CHANNELS])
