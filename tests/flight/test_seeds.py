"""Each process of a flight is killed and stopped in the air, on a circle, over several seeds of the vehicle's noise.

By its true states, the vehicle stays in the cage and never hits the ground. Deselect with -m "not seeds".
"""

import signal
import time
from itertools import product

import pytest
from reactions import FAILSAFE, GAP, hand_over_gap, intervals
from rehearsal import GUIDE, HOLD, LAND_MODE, LOITER_MODE, SNN
from spike_ctrl_msgs.srv import SetTarget

SEEDS = (1, 2, 3)
ROWS = {  # stopped, killed
    "snn_policy": ("15L", "16L"), "guide_policy": ("17L", "17L"), "recorder": ("21L", "21L"),
    "supervisor": ("19S", "19S"), "vehicle_bridge": ("20S", "20S"),
}  # fmt: skip


def kind(seed):
    return (f"seed {seed}", ("record:=true",), {"seed": seed})


def on_a_circle(hangar, seed):
    flight = hangar.fly(kind(seed))
    circle = SetTarget.Request(trajectory="circle", position=(0.0, 0.0, 1.0), size=0.5, period=4.0)
    assert flight.call(flight.target_service, circle).success
    flight.stays(SNN, 1.0)
    return flight


CASES = [
    pytest.param(seed, name, number, marks=pytest.mark.proves(ROWS[name][number == signal.SIGKILL]))
    for seed, name, number in product(SEEDS, ROWS, (signal.SIGSTOP, signal.SIGKILL))
]


@pytest.mark.seeds
@pytest.mark.parametrize(("seed", "name", "number"), CASES)
def test_the_vehicle_survives_the_loss_of_any_process(hangar, reaction, seed, name, number):
    flight = on_a_circle(hangar, seed)
    clock = time.monotonic()
    begin = flight.kill(name) if number == signal.SIGKILL else flight.signal(name, number)
    if name == "recorder":
        reaction(float(intervals(flight, 1.0).max()), GAP, "largest gap between two commands on a circle")
        assert flight.rung == SNN
    elif name == "snn_policy":
        flight.until(lambda: flight.rung == GUIDE, 2)
        reaction(hand_over_gap(flight, begin), GAP, "from the policy's last command to the guide's first")
        flight.stays(GUIDE, 1.0)
    elif name == "guide_policy":
        flight.until(lambda: flight.rung == HOLD and flight.station.mode == LOITER_MODE, 2)
        reaction(flight.station.modes[-1][0] - flight.signalled, 0.3, "from the kill to the autopilot's mode HOLD")
        flight.stays(HOLD, 1.0)
    else:
        flight.until(lambda: flight.station.mode == LAND_MODE, 2, "no failsafe")
        reaction(flight.station.modes[-1][0] - flight.signalled, FAILSAFE, "from the loss to the autopilot's mode LAND")
        flight.station.set_mode(LOITER_MODE)  # a pilot keeps it in the air
        flight.until(lambda: flight.station.mode == LOITER_MODE, 2)
    if number == signal.SIGSTOP:
        flight.signal(name, signal.SIGCONT)
    flight.must_be_well(clock)


@pytest.mark.seeds
@pytest.mark.proves("19S")
@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_supervisor_and_a_pilot_the_vehicle_lands_gently(hangar, seed):
    flight = on_a_circle(hangar, seed)
    clock = time.monotonic()
    flight.kill("supervisor")
    flight.until(lambda: "Disarmed by landing" in flight.vehicle.output, 30)
    flight.must_be_well(clock)
    hangar.kind = None
    flight.summary()
