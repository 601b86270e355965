"""A vehicle is struck or thrown, in virtual time: it moves as drawn, and a calm one is caught before it meets the ground.

- attitudes are uniform on SO(3): the mean angle of such a rotation is pi/2 + 2/pi (Miles, Biometrika 52, 1965)
- a blow changes velocity and body rates alone; a flight that begins thrown contradicts no check of the state
- of a blow to a hover, and of a throw 2.5 m above the ground, the vehicle ends at rest in the air
"""

import math

import numpy as np
import pytest
from struck_flight import CALM, Alone, fault

from spike_ctrl._files import resources
from spike_ctrl.certification import monte_carlo
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.injected_fault import THROWN_START
from spike_ctrl.certification.moving_scenario import draw_whole
from spike_ctrl.certification.plant_injection import random_directions
from spike_ctrl.flight.attitude import tilt
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.px4.dialect import PX4Mode

STRUCK = 2.0  # s
HOVER = CALM._replace(family="thrown", start=(0.0, 0.0, 2.5))


@pytest.fixture(scope="module")
def who():
    return monte_carlo.competitors(resources.find("models", "crazyflie_robust.safetensors"))


def flight(who, kind, size, at=STRUCK, seconds=8.0, core=FlightCore):
    return core(HOVER._replace(faults=(fault("thrown", kind, at, size=size),), duration=seconds), *who)


def test_attitudes_are_uniform_on_the_sphere_of_rotations():
    attitudes, axes = (np.array(drawn) for drawn in zip(*map(random_directions, range(4000)), strict=True))
    angles = 2 * np.arccos(np.abs(attitudes[:, 3]))
    assert abs(angles.mean() - (math.pi / 2 + 2 / math.pi)) < 0.04
    assert np.abs(np.r_[attitudes, axes @ np.eye(3, 4)].mean(axis=0)).max() < 0.04
    assert np.allclose(np.linalg.norm(axes, axis=1), 1.0)


def test_a_blow_changes_velocity_and_body_rates_alone(who):
    core = flight(who, "knocked", 0.5)
    before = core.vehicle.plant.state
    core.plant.act(STRUCK)
    after = core.vehicle.plant.state
    turned, moved = (np.subtract(getattr(after, name), getattr(before, name)) for name in ("rates", "velocity"))
    assert np.linalg.norm(turned) == pytest.approx(7.5, rel=1e-5) and moved == pytest.approx([1.5, 0.0, 0.0], abs=1e-5)
    assert (before.position, before.quaternion, before.rotors) == (after.position, after.quaternion, after.rotors)


def test_a_throw_begins_the_flight_as_high_as_may_be_and_only_where_it_is_asked_for():
    assert "thrown" not in {draw_whole(seed).family for seed in range(60)}
    drawn = [draw_whole(seed, family="thrown") for seed in range(60)]
    thrown = [one for one in drawn if one.faults[0].kind == THROWN_START]
    assert {one.faults[0].kind for one in drawn} == {"spun", "knocked", THROWN_START}
    for one in thrown:
        assert one.begin == 0.0 and not one.grounded and one.phase in ("flight", "guide alone")
        assert one.start[2] == one.cage.laid((0.0, 0.0, 0.0)).box[1][2]


def test_a_flight_that_begins_thrown_contradicts_no_check_of_the_state(who):
    core = flight(who, THROWN_START, 1.0, at=0.0, seconds=1.0, core=Alone)
    seen = core.vehicle.estimate
    assert tilt(seen.quaternion) > 0.5 and math.hypot(*seen.velocity) == pytest.approx(3.0, abs=0.1)
    core.fly()
    doubts = (Fault.STATE_ABSURD, Fault.STATE_INCONSISTENT, Fault.ESTIMATE_DOUBTFUL)
    assert not [e for e in core.events if e.kind is EventKind.FAULT and e.cause.fault in doubts]


@pytest.mark.slow
@pytest.mark.proves("50U")
@pytest.mark.parametrize("kind, size, at, flown", [("spun", 11.0, STRUCK, FlightCore), (THROWN_START, 0.6, 0.0, Alone)])
def test_a_vehicle_that_is_struck_or_thrown_is_caught_in_the_air(who, kind, size, at, flown):
    core = flight(who, kind, size, at, core=flown)
    core.fly()
    lowest = min(step.position[2] for step in core.steps)
    envelope = next(e for e in core.events if e.kind is EventKind.FAULT and e.cause.fault is Fault.ENVELOPE)
    assert envelope.time - at < 0.05 and Rung.GUIDE in [rung for _, rung, _ in core.moves]
    assert lowest > 0.5 and core.vehicle.plant.hardest_touchdown == 0.0
    assert math.hypot(*core.vehicle.truth.velocity) < 0.2 and core.vehicle.commander.mode is PX4Mode.AUTO_LOITER
