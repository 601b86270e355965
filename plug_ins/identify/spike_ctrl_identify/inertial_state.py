"""The state of a vehicle without motion capture: its gyro and accelerometer, held by its estimator over seconds.

An estimator's errors last .2 to .8 s (Ullah, Baca 2026), as long as the predictions that a fit compares: its velocity is no
measurement. What the airframe makes is the specific force and the angular rate, and both sensors tell them. So attitude is
the integral of the gyro, velocity that of the specific force less gravity, position that of the velocity, and what each
drifts from the estimate is taken out below some .2 Hz. Biases, which drift slowly, go with it.
"""

import numpy as np
from scipy.integrate import cumulative_trapezoid
from scipy.signal import savgol_filter
from scipy.spatial.transform import Rotation

from spike_ctrl.airframe import GRAVITY
from spike_ctrl.sim.environment import RATE_HZ

ATTITUDE, TRANSLATION = 401, 301  # steps over which a polynomial follows the drift
SHORTEST = 100  # steps; a shorter stretch has no start of a prediction


def inertial_state(state: np.ndarray, force: np.ndarray, unbroken: np.ndarray) -> np.ndarray:
    """The states (T, 13) of an estimator, with the fast changes that gyro and accelerometer tell.

    force (T, 3): specific force in the body, m/s^2. unbroken (T,): where both are known; across gaps nothing is integrated.
    """
    found = state.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], unbroken.astype(int), [0]])))
    for begin, end in edges.reshape(-1, 2):
        if end - begin >= SHORTEST:
            found[begin:end] = _stretch(state[begin:end], force[begin:end])
    return found


def _stretch(state: np.ndarray, force: np.ndarray) -> np.ndarray:
    found, dt = state.copy(), 1 / RATE_HZ
    seen = Rotation.from_quat(state[:, 3:7])
    turn = Rotation.from_rotvec((state[:-1, 10:] + state[1:, 10:]) / 2 * dt).as_quat()
    turned = [seen[0]]
    for each in turn:
        turned.append(turned[-1] * Rotation.from_quat(each))
    gyro = Rotation.concatenate(turned)
    drift = (seen * gyro.inv()).as_matrix().reshape(-1, 9)
    attitude = Rotation.from_matrix(_slow(drift, ATTITUDE, 2).reshape(-1, 3, 3)) * gyro
    found[:, 3:7] = attitude.as_quat()
    velocity = cumulative_trapezoid(attitude.apply(force) - (0, 0, GRAVITY), dx=dt, axis=0, initial=0)
    place = cumulative_trapezoid(velocity, dx=dt, axis=0, initial=0)
    found[:, :3] = place + _slow(state[:, :3] - place, TRANSLATION, 3)
    found[:, 7:10] = velocity + _slow(state[:, :3] - place, TRANSLATION, 3, deriv=1, delta=dt)
    return found


def _slow(signal: np.ndarray, steps: int, order: int, **derived: float) -> np.ndarray:
    """The slow part of a signal (T, n): polynomials through `steps` rows, exact for one of this order; or its derivative."""
    return savgol_filter(signal, min(steps, (len(signal) - 1) // 2 * 2 + 1), order, axis=0, **derived)
