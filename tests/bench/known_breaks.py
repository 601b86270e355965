"""Faults that once broke the promise, each flown once: how far outside and how hard. Run it by hand.

    python tests/bench/known_breaks.py [MODEL]

Slow links, resets of the estimator, the guide alone, the take-off, slow drifts and the autopilot's own estimate, as drawn by
the table of what can fail (docs/what_can_fail.md). Without wind, on the airframe as it is described.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from spike_ctrl._files import resources
from spike_ctrl.certification import flight_outcome, monte_carlo, moving_scenario
from spike_ctrl.certification.injected_fault import FLIGHT, GUIDED, TAKE_OFF, InjectedFault
from spike_ctrl.certification.moving_scenario import Stream

UP, ALONG = (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)
BREAKS = (  # phase, place, kind, s at which it begins, size, axis, direction
    (TAKE_OFF, "state", "stays", 2.2, 1e-4, 0, ALONG),
    (TAKE_OFF, "state", "stays", 3.0, 1e-5, 0, ALONG),
    (TAKE_OFF, "guide", "flipped", 4.0, 0.0, 0, ALONG),
    (FLIGHT, "link", "states_growing", 2.0, 0.24, 1, ALONG),
    (FLIGHT, "link", "states_growing", 2.0, 0.6, 1, ALONG),
    (FLIGHT, "link", "commands_held", 2.0, 0.1, 0, ALONG),
    (FLIGHT, "link", "commands_held", 2.0, 0.12, 0, ALONG),
    (FLIGHT, "link", "both_held", 2.0, 0.055, 0, ALONG),
    (FLIGHT, "link", "both_growing", 2.0, 0.3, 1, ALONG),
    (FLIGHT, "estimator", "velocity_stuck_in_resets", 2.0, 1.0, 0, ALONG),
    (FLIGHT, "estimator", "velocity_stuck_in_resets", 2.0, 10.0, 0, ALONG),
    (FLIGHT, "estimator", "position_drifts_in_resets", 2.0, 0.3, 0, ALONG),
    (FLIGHT, "estimator", "yaw_reset", 2.0, 3.1, 0, UP),
    (GUIDED, "guide", "dithered", 2.0, 0.003, 0, ALONG),
    (GUIDED, "guide", "dithered", 2.0, 0.008, 0, ALONG),
    (GUIDED, "guide", "one_axis_scaled", 2.0, -0.5, 1, ALONG),
    (GUIDED, "guide", "biased", 2.0, 0.9, 1, ALONG),
    (FLIGHT, "state", "position_creeps", 2.0, 0.08, 0, ALONG),
    (FLIGHT, "state", "height_creeps", 2.0, 0.06, 0, UP),
    (FLIGHT, "autopilot", "drifts", 2.0, 0.3, 0, ALONG),
    (FLIGHT, "autopilot", "yaw_reset", 2.0, 1.5, 0, UP),
    (FLIGHT, "autopilot", "satellites_lost", 2.0, 0.0, 0, ALONG),
)


def main(model: Path) -> None:
    """A line for each."""
    who, settings = monte_carlo.competitors(model)
    calm = moving_scenario.draw(20)._replace(stream=Stream(), wind=(0.0, 0.0, 0.0), factors=(1.0, 1.0, 1.0))
    for phase, place, kind, at, size, axis, direction in BREAKS:
        fault = InjectedFault(place, kind, at, math.inf, size, direction, axis, 7)
        lasts = at + moving_scenario.shown(phase, [fault])
        flight = calm._replace(family=place, phase=phase, grounded=phase == TAKE_OFF, faults=(fault,), duration=lasts)
        found, core = flight_outcome.fly(flight, who, settings)
        verdict = "BREAKS" if found.left or found.crashed else "keeps"
        story = ", ".join(f"{time:.1f} s {rung.name}" for time, rung, _ in core.moves)
        print(
            f"{verdict:7}{phase:12}{found.faults:60}{found.outside:6.2f} m outside {found.hit:5.2f} m/s  {story}", flush=True
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else resources.find("models", "sih_quadx.safetensors"))
