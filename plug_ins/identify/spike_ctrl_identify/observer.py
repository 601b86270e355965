"""A Kalman filter over the second before a prediction: state and disturbance at its start.

For rotation (attitude, rates) and translation (position, velocity) alike, on each axis a chain of four numbers:

    place' = speed,  speed' = what the simulation says + trim + gust,  trim: a random walk,  gust' = -gust / time + noise

Place and speed are measured. The trim stands for what differs from flight to flight, such as a battery that is off centre;
the gust for what the air and errors of the model do within a tenth of a second. The gains depend on neither data nor
airframe (Maybeck, Stochastic models, estimation and control, 1979, chapter 5).
"""

from typing import NamedTuple

import numpy as np


class ChainNoise(NamedTuple):
    """The noise of one chain; of rotation in rad, of translation in m.

    place, speed: standard deviations of the measurements. drift: density of the white acceleration, per square root of s.
    walk: density of the trim's walk. gust, time: deviation and correlation time (s) of the gust. start: deviation of the
    trim before anything is known.
    """

    place: float
    speed: float
    drift: float
    walk: float
    gust: float
    time: float
    start: float


ROTATION = ChainNoise(place=0.004, speed=0.078, drift=0.46, walk=9.0, gust=13.0, time=0.043, start=30.0)
TRANSLATION = ChainNoise(place=0.0025, speed=0.00033, drift=0.068, walk=0.51, gust=0.028, time=0.18, start=0.47)
TRUST = 0.7
"""How much of what is left between attitude and measurement goes at the start: the error of motion capture lasts some steps,
and the filter takes it for white."""


def gains(noise: ChainNoise, steps: int, dt: float) -> np.ndarray:
    """Kalman gains (steps, 4, 2): corrections of place, speed, trim and gust by the errors of place and speed.

    Before the first step place and speed are as measured.
    """
    kept = np.exp(-dt / noise.time)
    move = np.array([[1, dt, dt * dt / 2, dt * dt / 2], [0, 1, dt, dt], [0, 0, 1, 0], [0, 0, 0, kept]])
    measured, see = np.diag(np.square([noise.place, noise.speed])), np.eye(4)[:2]
    grown = np.diag([0, noise.drift**2 * dt, noise.walk**2 * dt, noise.gust**2 * (1 - kept * kept)])
    spread = np.diag(np.square([noise.place, noise.speed, noise.start, noise.gust]))
    found = []
    for _ in range(steps):
        spread = move @ spread @ move.T + grown
        gain = spread @ see.T @ np.linalg.inv(see @ spread @ see.T + measured)
        spread = (np.eye(4) - gain @ see) @ spread
        found.append(gain)
    return np.array(found)
