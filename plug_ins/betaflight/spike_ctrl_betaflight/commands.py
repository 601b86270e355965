"""From an action of the layout `rates` to the four pulses of an MSP override, and the hover that is found in flight. Pure.

A collective c in [-1, 1] goes from no thrust over the hover to full thrust: `sim.action_mapping.thrust` of it is the motor
command u. Betaflight's mixer gives u = idle + (1 - idle) t for a throttle t in [0, 1], where the throttle's curve is
straight (thr_expo 0, no limit), and t = (pulse - min_check) / (2000 - min_check).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from spike_ctrl.sim import action_mapping
from spike_ctrl_betaflight.rates import RateCurve

FULL = 2000  # us
HOVER = (0.08, 0.8)  # motor commands at which a quadrotor can hover
LEARNING_TIME = 3.0  # s
FELT = (0.7, 1.4)  # specific force along z over g from which the hover is learnt: the rotors lag behind a quick change


class Throttle(NamedTuple):
    """The way from a pulse to the motors. idle: motor command of a throttle of 0. min_check: us, the last pulse of it."""

    idle: float = 0.055
    min_check: int = 1050

    def pulse(self, command: float) -> int:
        """The pulse (us) of a motor command in 0..1."""
        share = min(max((command - self.idle) / (1 - self.idle), 0.0), 1.0)
        return round(self.min_check + share * (FULL - self.min_check))

    def command(self, pulse: float) -> float:
        """The motor command of a pulse (us)."""
        share = min(max((pulse - self.min_check) / (FULL - self.min_check), 0.0), 1.0)
        return self.idle + share * (1 - self.idle)


def pulses(
    action: Sequence[float],
    max_rates: Sequence[float],
    curves: Sequence[RateCurve],
    throttle: Throttle,
    hover: float,
    order: Sequence[int] = (0, 1, 3, 2),
) -> list[int]:
    """Pulses (us) for MSP_SET_RAW_RC. max_rates: rad/s, which an action of 1 commands. hover: the motor command that hovers.

    order: MSP_RX_MAP, the places of roll, pitch, yaw and throttle among the channels; here that of AETR.
    """
    collective, *shares = action
    found = [1500] * 4
    for axis, (share, most, curve) in enumerate(zip(shares, max_rates, curves, strict=True)):
        found[order[axis]] = curve.pulse(share * most)
    found[order[3]] = throttle.pulse(action_mapping.thrust(collective, hover))
    return found


class FoundHover(NamedTuple):
    """The motor command that hovers. heard: s, of the last force; -inf before the first."""

    command: float
    heard: float = -math.inf

    def felt(self, force: float, command: float, now: float) -> FoundHover:
        """After a specific force along z (in g) at this motor command. Thrust is taken to grow with its square."""
        if not FELT[0] <= force <= FELT[1] or command <= 0:
            return self._replace(heard=now)
        share = min((now - self.heard) / LEARNING_TIME, 0.1)
        wanted = command / math.sqrt(force)
        found = self.command + share * (wanted - self.command)
        return FoundHover(min(max(found, HOVER[0]), HOVER[1]), now)
