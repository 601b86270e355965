"""How far a vehicle still gets that stops at its limits: a bound along each axis, at any velocity and tilt. Pure.

For `dead` and the rotors' lag full thrust may act along any axis that the body rate reaches; until the braking axis is
reached the thrust is at most `idle` weights; then the vehicle brakes, by v |v| / (2 B). While it climbs the vertical part of
its thrust is at most 1 - `ease` weights, also of the strongest vehicle and on any axis: without this rule a strong vehicle
climbs on, by its excess of thrust. Proof: the acceleration along an axis is at most a constant in each phase, velocity and
way at most those under it (docs/stopping.md). Drag only shortens the way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.control.trajectory import Vector


@dataclass(frozen=True)
class Stopping:
    """What a vehicle that stops can do, and what its old commands can do before."""

    dead: float = within(0.03, 0.0, 1.0, "Time for which earlier commands still act.", "s")
    lag: float = within(0.033, 0.0, 1.0, "Lag of the rotors.", "s")
    swing: float = within(0.15, 0.0, 1.0, "Time of a turn in addition to angle / rate.", "s")
    rate: float = within(5.43, 0.1, 50.0, "Body rate, of all axes together.", "rad/s")
    weak: float = within(4.0, 1.05, 20.0, "Least thrust/weight.")
    strong: float = within(5.0, 1.05, 20.0, "Largest thrust/weight.")
    tilt: float = within(0.95, 0.05, 1.2, "Tilt of the braking axis.", "rad")
    ease: float = within(0.3, 0.05, 0.95, "Share of gravity by which a climb is braked.")
    idle: float = within(0.3, 0.0, 1.0, "Largest thrust/weight during a turn.")
    soft: float = within(0.15, 0.0, 1.0, "A velocity below deceleration times this is braked in proportion.", "s")

    @classmethod
    def of(cls, craft: Airframe, dead: float = 0.03, spread: float = 0.1) -> Stopping:
        """That of an airframe whose true thrust/weight may differ by the share `spread`."""
        lag, weak, strong = max(craft.lag_up, craft.lag_down), *((1 + x) * craft.thrust_to_weight for x in (-spread, spread))
        return cls(dead, lag, 2 * lag + 0.08, math.hypot(*craft.max_rates[:2]), weak, strong)

    @property
    def climbing(self) -> float:
        """The vertical part of the thrust while it climbs, as a share of the full thrust, at most."""
        return (1 - self.ease) / self.strong

    def ways(self, velocity: Vector, up: Vector) -> tuple[float, ...]:
        """The largest ways (m, at least 0) to the west, south, below, east, north and above, before it is first at rest.

        velocity: m/s, ENU. up: the thrust's axis now, a unit vector of the world.
        """
        g, t1, strong, fast = GRAVITY, self.dead + self.lag, self.strong * GRAVITY, math.hypot(*velocity[:2])
        turned, lean = self.rate * t1, math.acos(max(-1.0, min(1.0, up[2])))
        old = strong * t1 * math.sin(min(lean + turned, math.pi / 2))
        kick = old + self.idle * g * (math.pi / self.rate + self.swing)
        back = -(up[0] * velocity[0] + up[1] * velocity[1]) / fast * math.sin(self.tilt) if fast > kick else 0.0
        angle = math.acos(max(-1.0, min(1.0, back + up[2] * math.cos(self.tilt)))) + math.asin(kick / max(fast, kick))
        t2 = (min(angle if fast > kick else math.pi, lean + self.tilt) + turned) * math.sqrt(2) / self.rate + self.swing
        level = g * min(self.climbing * self.weak * math.tan(self.tilt), self.weak * math.sin(self.tilt))
        speed, found = fast + old + self.idle * g * t2, []
        for side in (-1.0, 1.0):
            for axis, v0 in enumerate(velocity):
                facing, falls = math.acos(max(-1.0, min(1.0, side * up[axis]))) - turned, -side * g if axis == 2 else 0.0
                v1 = side * v0 + (strong * max(math.cos(max(facing, 0.0)), 0.0) + falls) * t1
                v2 = v1 + max(self.idle * g + falls, -self.ease * g) * t2
                brake = level if axis < 2 else g * (self.ease if side > 0 else self.weak * math.cos(self.tilt) - 1)
                way = max(side * v0, v1, 0.0) * t1 + max(v1, v2, 0.0) * t2
                tail = 0.0 if axis == 2 and side > 0 else brake * self.soft**2 / 2
                found.append(way + (v2 * (speed if axis < 2 else v2) / (2 * brake) + tail if v2 > 0 else 0.0))
        return tuple(found)
