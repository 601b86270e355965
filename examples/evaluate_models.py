"""Score shipped policies beside the geometric guide and a controller of ten lines, on the same 1024 starts.

python examples/evaluate_models.py
python examples/evaluate_models.py --starts 64     # a first look
"""

import argparse

import numpy as np
from numpy.typing import NDArray

import spike_ctrl
from spike_ctrl.evaluation.evaluation_result import evaluation_table

CRAZYFLIE = spike_ctrl.Airframe.load("crazyflie")


def cascade(observation: NDArray[np.float32]) -> NDArray[np.float32]:
    """Position, tilt and yaw, each by a proportional and a derivative term: observations (N, 18) to actions (N, 4)."""
    position, velocity, rates = observation[:, :3], observation[:, 12:15], observation[:, 15:]
    rotation = observation[:, 3:12].reshape(-1, 3, 3)  # body to the set-point's frame
    wanted = np.clip(-0.35 * position - 0.3 * velocity, -0.5, 0.5)  # of the body's vertical, and of the thrust
    wanted[:, 2] += 1
    error = np.einsum("nij,ni->nj", rotation, np.cross(rotation[:, :, 2], wanted))  # in the body's frame
    roll, pitch = 0.6 * error[:, 0] - 0.09 * rates[:, 0], 0.6 * error[:, 1] - 0.09 * rates[:, 1]
    yaw = -0.3 * rotation[:, 1, 0] - 0.2 * rates[:, 2]
    thrust = 2 * CRAZYFLIE.hover - 1 + 0.6 * (wanted[:, 2] - 1)
    front_right, back_right = thrust - roll - pitch, thrust - roll + pitch
    back_left, front_left = thrust + roll + pitch, thrust + roll - pitch
    spin = np.multiply.outer(yaw, CRAZYFLIE.rotor_spin)
    return np.stack([front_right, back_right, back_left, front_left], axis=1) + spin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=1024)
    options = parser.parse_args()
    flown = {
        "crazyflie": "crazyflie",
        "crazyflie_td3bc": "crazyflie_td3bc",
        "geometric guide": spike_ctrl.GeometricGuide(CRAZYFLIE),
        "ten lines of numpy": cascade,
    }
    print(
        evaluation_table({name: spike_ctrl.evaluate(one, CRAZYFLIE, starts=options.starts) for name, one in flown.items()})
    )


if __name__ == "__main__":
    main()
