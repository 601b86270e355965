"""Faults that once violated the safety property, flown again: how far outside and how hard. Run it by hand.

    python tests/bench/known_breaks.py [MODEL] [--seeds 20 101] [--letters ABCDEFG]

A slow links, B resets of the estimator, C the guide alone, D the take-off on a state that stays, E slow drifts, F the
autopilot's own estimate, G a frozen policy that commands motors. Drawn by the table of what can fail
(docs/what_can_fail.md), at the ends of their ranges, without wind, on the airframe as it is described.
"""

import argparse
import itertools
import math
import sys
from collections.abc import Iterator
from pathlib import Path

from spike_ctrl._files import resources
from spike_ctrl.certification import flight_outcome, monte_carlo, moving_scenario
from spike_ctrl.certification.injected_fault import FLIGHT, GUIDED, TAKE_OFF, InjectedFault
from spike_ctrl.certification.moving_scenario import Aim, Scenario, Stream
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.geofence import Cage

UP, ALONG, DOWN, ACROSS = (0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.6, -0.8, 0.0)
NARROW = Cage((-1.3, -1.3, -0.5), (1.3, 1.3, 2.5))
RESET = (Aim(1.0, SetPoint((0.0, 0.0, 1.2), yaw=math.pi / 2)), Aim(3.0, SetPoint((-2.5, 0.0, 1.2), yaw=math.pi / 2)))
BREAKS = (  # letter of the list, phase, place, kind, s at which it begins, sizes, axes, direction, what else differs
    ("A", FLIGHT, "link", "states_growing", 2.0, (0.24, 0.6), (1,), ALONG, {}),
    ("A", FLIGHT, "link", "states_held", 2.0, (0.1, 0.2), (0,), ALONG, {}),
    ("A", FLIGHT, "link", "commands_held", 2.0, (0.1, 0.12, 0.2), (0,), ALONG, {}),
    ("A", FLIGHT, "link", "both_held", 2.0, (0.05, 0.055, 0.06, 0.12), (0,), ALONG, {}),
    ("A", FLIGHT, "link", "both_growing", 2.0, (0.3,), (1,), ALONG, {}),
    ("A", FLIGHT, "link", "commands_growing", 2.0, (0.3,), (2,), ALONG, {}),
    ("B", FLIGHT, "estimator", "velocity_stuck_in_resets", 2.0, (1.0, 10.0), (0,), ALONG, {}),
    ("B", FLIGHT, "estimator", "position_drifts_in_resets", 2.0, (0.3,), (0,), ALONG, {}),
    ("B", FLIGHT, "estimator", "yaw_reset", 2.0, (0.7, 1.5, 3.1), (0,), UP, {}),
    ("B", FLIGHT, "state", "origin_moved", 2.0, (1.0,), (0,), ALONG, {"start": (0.0, 0.0, 1.2), "aims": RESET}),
    ("C", GUIDED, "guide", "dithered", 2.0, (0.003, 0.008), (0,), ALONG, {}),
    ("C", GUIDED, "guide", "one_axis_scaled", 2.0, (-0.5,), (1, 2), ALONG, {}),
    ("C", GUIDED, "guide", "biased", 2.0, (0.8, 0.98), (0, 1, 2), ALONG, {}),
    ("C", TAKE_OFF, "guide", "flipped", 4.3, (0.0,), (0,), ALONG, {}),
    ("C", TAKE_OFF, "guide", "flipped", 4.6, (0.0,), (0,), ALONG, {}),
    ("C", TAKE_OFF, "guide", "flipped", 4.0, (0.0,), (0,), ALONG, {}),
    ("D", TAKE_OFF, "state", "stays", 2.2, (1e-5, 1e-4, 1e-3), (0,), ALONG, {}),
    ("D", TAKE_OFF, "state", "stays", 3.0, (1e-5, 1e-3), (0,), ALONG, {}),
    ("E", FLIGHT, "state", "position_creeps", 2.0, (0.04, 0.08, 0.12), (0,), ALONG, {}),
    ("E", FLIGHT, "state", "height_creeps", 2.0, (0.04, 0.06, 0.12), (0,), UP, {}),
    ("E", FLIGHT, "state", "height_creeps", 2.0, (0.04, 0.12), (0,), DOWN, {}),
    ("F", FLIGHT, "autopilot", "drifts", 2.0, (0.05, 0.3, 1.0), (0,), ALONG, {}),
    ("F", FLIGHT, "autopilot", "yaw_reset", 2.0, (0.75, 1.5, 3.1), (0,), UP, {}),
    ("F", FLIGHT, "autopilot", "satellites_lost", 2.0, (0.0,), (0,), ALONG, {}),
    (
        "F",
        FLIGHT,
        "autopilot",
        "satellites_lost",
        2.0,
        (0.0,),
        (0,),
        ALONG,
        {"cage": NARROW, "start": (0.0, 0.0, 1.2), "aims": ()},
    ),
    ("G", FLIGHT, "policy", "frozen", 2.0, (0.0,), (0,), ALONG, {}),
    ("G", FLIGHT, "policy", "frozen", 2.4, (0.0,), (0,), ALONG, {}),
    ("G", FLIGHT, "policy", "frozen", 3.0, (0.0,), (0,), ALONG, {}),
)


def flights(seed: int, letters: str) -> Iterator[tuple[str, Scenario]]:
    """The flights with the motion of this seed, each with its letter."""
    calm = moving_scenario.draw(seed)._replace(stream=Stream(), wind=(0.0, 0.0, 0.0), factors=(1.0, 1.0, 1.0))
    for letter, phase, place, kind, at, sizes, axes, direction, more in BREAKS:
        for size, axis in itertools.product(sizes, axes) if letter in letters else ():
            fault = InjectedFault(place, kind, at, math.inf, size, direction, axis, 7)
            lasts = at + moving_scenario.shown(phase, [fault])
            grounded = phase == TAKE_OFF
            yield (
                letter,
                calm._replace(family=place, phase=phase, grounded=grounded, faults=(fault,), duration=lasts, **more),
            )


def main() -> int:
    """A line for each. Exit code 1: one violates the safety property."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", default=resources.find("models", "sih_quadx.safetensors"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[20], help="of the motions and of the noise (default: 20)")
    parser.add_argument("--letters", default="ABCDEFG", help="of the list (default: all)")
    options = parser.parse_args()
    who, settings = monte_carlo.competitors(options.model)
    broken = total = 0
    for seed in options.seeds:
        for letter, flight in flights(seed, options.letters):
            found, core = flight_outcome.fly_scenario(flight, who, settings)
            breaks = found.left or found.crashed
            broken, total = broken + breaks, total + 1
            story = ", ".join(f"{time:.1f} s {rung.name}" for time, rung, _ in core.moves)
            told = f"{flight.phase:12}{found.faults:60}{found.outside:6.2f} m outside {found.hit:5.2f} m/s  {story}"
            print(f"{'BREAKS' if breaks else 'keeps':7}{seed:4} {letter} {told}", flush=True)
    print(f"{broken} of {total} flights violate the safety property")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
