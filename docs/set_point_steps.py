"""How long does a step of the set-point take, how fast is the vehicle, and where would the autopilot stop it?

python docs/set_point_steps.py models/sih_quadx.safetensors models/any_rates.safetensors
python docs/set_point_steps.py models/sih_quadx.safetensors --share 0.5 --smooth 0.01

Each step is flown in virtual time without wind, by the vehicle as described and by one that is 15 % heavier and weaker and
a fifth slower. `end`: m inside the cage at which the autopilot would have stopped, had commands ceased at the
worst moment.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from spike_ctrl.certification import monte_carlo, moving_scenario
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.flight_parts import Competitors
from spike_ctrl.control.trajectory import SetPoint, Vector
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.setpoint_limiter import SetPointLimits

# m: half of the cage's width, from, to
STEPS = (
    ("from the middle", 3.0, (0.0, 0.0, 1.0), (2.0, 0.0, 1.0)),
    ("across it", 3.0, (-1.0, 0.0, 1.0), (1.0, 0.0, 1.0)),
    ("in a narrow cage", 1.3, (-0.6, 0.0, 1.0), (0.6, 0.0, 1.0)),
    ("upwards", 3.0, (0.0, 0.0, 0.7), (0.0, 0.0, 2.3)),
    ("downwards", 3.0, (0.0, 0.0, 2.3), (0.0, 0.0, 0.7)),
)
PLANTS = ((1.0, 1.0, 1.0), (1.15, 0.85, 1.2))  # mass, thrust, lag
BEGINS, LASTS, NEAR = 1.5, 8.0, 0.1  # s, s, m


def flown(
    who: Competitors, settings: FlightSettings, factors: tuple[float, float, float], half: float, start: Vector, end: Vector
) -> tuple[float, float, float]:
    """Time (s) until it stays near the end, its largest speed (m/s), how far inside the cage it would have stopped (m)."""
    cage = replace(settings.cage, low=(-half, -half, settings.cage.low[2]), high=(half, half, settings.cage.high[2]))
    target = SetPoint(end, yaw=math.pi / 2)
    scenario = moving_scenario.draw(20)._replace(
        cage=cage, family="none", factors=factors, latency=0.0, noise=0.5, wind=(0.0, 0.0, 0.0), start=start,
        aims=(moving_scenario.Aim(BEGINS, target),), faults=(), duration=LASTS,
    )  # fmt: skip
    core = FlightCore(scenario, who, settings)
    core.fly()
    assert core.state.ladder.rung is Rung.SNN, f"the policy was taken out: {core.moves[-1]}"
    times, places = np.array([step.time for step in core.steps]), np.array([step.position for step in core.steps])
    speeds = np.gradient(places, times, axis=0)
    away = times[np.linalg.norm(places - end, axis=1) > NEAR]
    beyond = [settings.braking.beyond(*motion, cage.low, cage.high) for motion in zip(places, speeds, strict=True)]
    return away.max() - BEGINS, np.linalg.norm(speeds, axis=1).max(), -max(beyond)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--share", type=float, default=SetPointLimits.speed_share, help="set_point.speed_share")
    parser.add_argument("--smooth", type=float, default=SetPointLimits.smooth, help="set_point.smooth")
    given = parser.parse_args()
    for model in given.models:
        who, settings = monte_carlo.competitors(model)
        limits = replace(settings.set_point, speed_share=given.share, smooth=given.smooth)
        for name, *step in STEPS:
            found = [flown(who, replace(settings, set_point=limits), factors, *step) for factors in PLANTS]
            told = "; ".join(f"{time:.2f} s, {fast:.1f} m/s, end {end:.2f} m" for time, fast, end in found)
            print(f"{model.stem} {name}: {told}", flush=True)
