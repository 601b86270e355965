"""Kills the policy in the middle of a figure-eight, and keeps the flight as a bag.

The whole flight core runs in virtual time: the vehicle with its autopilot, bridge, supervisor, guide and policy. The process
of the policy is killed after 8 s; the guide takes over and holds; the operator lets it land. Film it:

    python examples/killed_policy.py bags/killed
    spike-ctrl film bags/killed -o flight.gif
    spike-ctrl report bags/killed
"""

import math
import sys
from pathlib import Path

from spike_ctrl._files import resources
from spike_ctrl.certification import monte_carlo
from spike_ctrl.certification.flight_bag import FlightBag
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.injected_fault import InjectedFault
from spike_ctrl.certification.moving_scenario import Aim, Scenario
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight.event_words import told
from spike_ctrl.policy import checkpoint

START = (0.0, 0.0, 1.2)  # m
KILLED, LANDS, ENDS = 8.0, 11.0, 20.0  # s


def scenario() -> Scenario:
    """A figure-eight of +-1 m in 6 s without wind; see Scenario for the units."""
    figure = Trajectory("figure8", START, math.pi / 2, size=1.0, period=6.0)
    forever, nowhere = math.inf, (1.0, 0.0, 0.0)
    faults = (
        InjectedFault("process", "policy_killed", KILLED, forever, 0.0, nowhere, 0, 0),
        InjectedFault("operator", "lands", LANDS, forever, 0.0, nowhere, 0, 0),
    )
    return Scenario(
        seed=0, family="process", factors=(1.0, 1.0, 1.0), latency=0.0, noise=0.5, wind=(0.0, 0.0, 0.0), start=START,
        motion="figure", aims=(Aim(1.0, figure),), faults=faults, duration=ENDS,
    )  # fmt: skip


def main(folder: Path, model: Path) -> None:
    """Fly it and say what the supervisor said."""
    who, settings = monte_carlo.competitors(model)
    bag = FlightBag(folder, model.stem, checkpoint.read(model))
    core = FlightCore(scenario(), who, settings, bag)
    core.fly()
    bag.close()
    for event in core.events:
        print(f"{event.time:6.2f} s  {told(event)}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "bags/killed"), resources.find("models", "sih_quadx.safetensors"))
