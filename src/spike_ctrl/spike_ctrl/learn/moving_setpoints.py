"""Set-points that move while a policy learns: on each axis a swing of its own, in the frame of the set-point's yaw.

A figure-eight is one of them: two axes, one twice as fast as the other. Along one axis, with amplitude a, frequency w and
phase f, the velocity is a w cos(w t + f).
"""

import math
from dataclasses import dataclass

import numpy as np

from spike_ctrl._files.ranges import within


@dataclass(frozen=True)
class Moving:
    """How set-points move. They stay where they are in a share `still` of the episodes."""

    still: float = within(1.0, 0.0, 1.0, "Share of the episodes whose set-point stays where it is.")
    speed: float = within(1.2, 0.01, 20.0, "Largest speed of the set-point on each axis.", "m/s")
    acceleration: float = within(2.0, 0.01, 50.0, "Largest acceleration of the set-point on each axis.", "m/s^2")
    frequency: float = within(2.5, 0.1, 20.0, "Largest frequency of the set-point on each axis.", "rad/s")


class Courses:
    """The set-points of N vehicles; `swing` holds speed, frequency and phase (3, 3, N), `time` their own clocks (s)."""

    def __init__(self, vehicles: int):
        self.swing = np.zeros((3, 3, vehicles), np.float32)
        self.time = np.zeros(vehicles, np.float32)

    def restart(self, who: np.ndarray, moving: Moving, random: np.random.Generator) -> None:
        """New courses for the vehicles of the mask `who` (N,)."""
        if moving.still == 1:
            return
        n = int(who.sum())
        frequency = moving.frequency * random.uniform(0.1, 1.0, (3, n))
        speed = random.uniform(0, 1, (3, n)) * np.minimum(moving.speed, moving.acceleration / frequency)
        speed *= random.uniform(size=n) >= moving.still
        self.swing[:, :, who] = np.stack([speed, frequency, random.uniform(0, 2 * math.pi, (3, n))])
        self.time[who] = 0

    def velocity(self, steps: int, dt: float, ahead: float) -> np.ndarray:
        """Velocity (steps, 3, N) at 0, dt, 2 dt ... seconds from now, each `ahead` seconds later."""
        speed, frequency, phase = self.swing
        times = self.time + ahead + dt * np.arange(steps, dtype=np.float32)[:, None, None]
        velocity: np.ndarray = speed * np.cos(frequency * times + phase)
        return velocity

    def travelled(self, steps: int, dt: float, age: np.ndarray) -> np.ndarray:
        """How far (m) each has come (steps, 3, N) in the last age (steps, N) steps, at 0, dt, 2 dt ... seconds from now."""
        speed, frequency, phase = self.swing
        times = self.time + dt * np.arange(steps, dtype=np.float32)[:, None, None]
        then = np.maximum(times - dt * age[:, None], 0)  # before the flight it stood still
        swung = np.sin(frequency * times + phase) - np.sin(frequency * then + phase)
        travelled: np.ndarray = speed / np.maximum(frequency, 1e-6) * swung
        return travelled

    def displacement(self, steps: int, dt: float) -> np.ndarray:
        """By how much (m) each moves in each of the next steps (steps, 3, N), exactly."""
        speed, frequency, phase = self.swing
        times = self.time + dt * np.arange(steps + 1, dtype=np.float32)[:, None, None]
        return np.diff(speed / np.maximum(frequency, 1e-6) * np.sin(frequency * times + phase), axis=0)
