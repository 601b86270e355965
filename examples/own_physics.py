"""Physics of your own in the simulator's control step: turbulence and a payload.

python examples/own_physics.py                    # half a minute

In a recipe:

task:
  insert:
    wind: examples.own_physics:turbulence
    reset: {function: examples.own_physics:payload, kilograms: 0.005}

On the command line: spike-ctrl eval models/crazyflie.safetensors --insert wind=examples.own_physics:turbulence
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

import spike_ctrl


def turbulence(step: spike_ctrl.StepView, share: float = 0.1, seconds: float = 0.5) -> NDArray[Any]:
    """Wind: on each axis a force that wanders about 0, with the deviation `share` of the weight, for some `seconds`."""
    fresh = step.random.standard_normal((step.vehicles, 3))
    before = step.memory.get("gust", fresh)
    kept = np.exp(-step.dt / seconds)
    now = np.where(step.begun[:, None], fresh, kept * before + np.sqrt(1 - kept**2) * fresh)
    step.memory["gust"] = now
    return step.force + share * 9.81 * step.mass[:, None] * now


def payload(step: spike_ctrl.StepView, kilograms: float = 0.005) -> dict[str, NDArray[Any]]:
    """Reset: the vehicle carries so much more in its centre."""
    return {"mass": step.mass + kilograms}


def main() -> None:
    circle = spike_ctrl.Trajectory("circle")
    flights: dict[str, dict[str, Any]] = {
        "still air": {},
        "turbulence": {"wind": turbulence},
        "payload of 5 g": {"reset": payload},
        "turbulence, payload of 8 g": {"wind": turbulence, "reset": functools.partial(payload, kilograms=0.008)},
    }
    for name, inserts in flights.items():
        found = spike_ctrl.evaluate("crazyflie", starts=256, inserts=inserts)
        followed = spike_ctrl.track("crazyflie", circle, inserts=inserts)
        print(
            f"{name:<28}returns {found.headline:.0f}, hovers {100 * found.hover_error_m['median']:.1f} cm off, "
            f"follows the circle {100 * followed.mean:.1f} cm off"
        )


if __name__ == "__main__":
    main()
