"""Follow a trajectory of your own: a helix, with a policy that was trained to hover.

python examples/custom_trajectory.py
"""

import math

import spike_ctrl
from spike_ctrl.evaluation.tracking import tracking_table


def helix(path: spike_ctrl.Trajectory, time: float) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Offset from the centre (m) and velocity (m/s): a circle that goes up and down by half its radius, twice a round."""
    w, r = 2 * math.pi / path.period, path.size
    offset = (r * math.cos(w * time), r * math.sin(w * time), r / 2 * math.sin(2 * w * time))
    velocity = (-w * r * math.sin(w * time), w * r * math.cos(w * time), w * r * math.cos(2 * w * time))
    return offset, velocity


def main() -> None:
    trajectory = spike_ctrl.Trajectory(helix, size=0.8, period=6.0)
    print(f"{trajectory.name}: up to {trajectory.fastest:.1f} m/s, tilt {math.degrees(trajectory.tilt):.0f} degrees")
    flown = {"crazyflie": "crazyflie", "geometric guide": spike_ctrl.GeometricGuide("crazyflie")}
    print(tracking_table(trajectory.name, {name: spike_ctrl.track(one, trajectory) for name, one in flown.items()}))


if __name__ == "__main__":
    main()
