"""The shipped policy flies simulated vehicles over MAVLink in virtual time, also vehicles that differ from its airframe.

- hover and figure-eight within the goals, on the truth, with half the noise of PX4's simulation
- mass, thrust and lag 20 % off, commands 20 ms late: it still flies, in the cage
- so does one that commands motors, and a network that does not spike
- with a drag of its own, it is not behind a set-point on its way
- a policy that does nothing falls: the rehearsal flies nothing by itself
"""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.control import trajectory
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.policy import checkpoint
from spike_ctrl_sitl import path_error, virtual_flight

CRAFT = airframe.load("sih_quadx")
ORACLES = Path(__file__).resolve().parents[3] / "tests" / "oracles"


@pytest.fixture(scope="module")
def policy():
    return checkpoint.load(resources.find("models", "sih_quadx.safetensors")).policy


def fly(policy, legs, duration, plant=CRAFT, **options):
    paths = trajectory.several(legs, (0.0, 0.0, 1.0), math.pi / 2, 0.0, 0.0, duration)
    return virtual_flight.fly_legs(policy, CRAFT, plant, paths, duration, **options)


def test_hover_and_figure_eight_reach_their_goals(policy):
    flown = fly(policy, "hover,figure8:1:8", 10.0, noise=0.5)
    legs = path_error.legs(flown, ("hover", "figure8"), 10.0)
    assert all(leg.passed for leg in legs), legs
    assert len(flown.time) == pytest.approx(2000, abs=3) and flown.true[:, 0].max() > 0.8


@pytest.mark.parametrize("factors", list(itertools.product((0.8, 1.2), repeat=3)), ids=lambda f: "-".join(map(str, f)))
def test_it_flies_with_mass_thrust_and_lag_off_by_a_fifth_and_20_ms_late(policy, factors):
    flown = fly(policy, "hover", 4.5, airframe.altered(CRAFT, *factors), latency=0.02)
    assert not any(Cage().check(position) for position in flown.true[::10])
    assert flown.error[flown.time > 3.5].max() < 0.3


def test_a_policy_that_does_nothing_is_not_a_flight():
    class Nothing:
        def initial_state(self):
            return None

        def step(self, observation, state):
            return observation[:4] * 0 - 0.2, state  # a fifth less than hover thrust

    flown = fly(Nothing(), "hover", 3.0)
    assert path_error.legs(flown, ("hover",), 3.0)[0].rmse > 0.8 and flown.true[-1, 2] < 0.1


def test_the_shipped_policy_hovers_and_flies_a_figure_eight_by_motor_commands():
    craft = airframe.load("crazyflie")
    policy = checkpoint.load(resources.find("models", "crazyflie.safetensors")).policy
    paths = trajectory.several("hover,figure8:1:8", (0.0, 0.0, 1.0), math.pi / 2, 0.0, 0.0, 6.0)
    flown = virtual_flight.fly_legs(policy, craft, craft, paths, 6.0, noise=0.5)
    legs = path_error.legs(flown, ("hover", "figure8"), 6.0)
    assert all(leg.passed for leg in legs), legs


def test_the_shipped_policy_is_not_behind_a_set_point_on_its_way():
    craft = airframe.load("sih_quadx")  # its drag is 1 N s/m
    policy = checkpoint.load(resources.folder("models") / "sih_quadx.safetensors").policy
    track = virtual_flight.fly_legs(policy, craft, craft, [Trajectory("circle", (0.0, 0.0, 1.2), period=8.0)], 12.0)
    rows = track.time > 3
    way = np.gradient(track.set_point[rows], track.time[rows], axis=0)
    error = (track.estimate - track.set_point)[rows]
    lag = -(error * way).sum() / (way * way).sum()  # s
    assert lag == pytest.approx(0, abs=0.01)  # without a lead .017


def test_a_network_that_does_not_spike_hovers():
    pytest.importorskip("spike_ctrl_networks")
    policy = checkpoint.load(ORACLES / "cascade.safetensors").policy  # plain_networks.saved(Cascade(), "sih_quadx")
    flown = fly(policy, "hover", 6.0, noise=0.5)
    assert path_error.legs(flown, ("hover",), 6.0)[0].rmse < 0.15
