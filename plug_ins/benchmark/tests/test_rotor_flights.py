"""Lost rotors and thrown vehicles: what is counted, and that shipped policies are told apart by it."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl._files.json_lines import plain
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.tracking import hovering
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.rotor_loss import RotorLoss
from spike_ctrl_benchmark import rotor_flights, thrown_flights
from spike_ctrl_benchmark.any_airframe import ANY
from spike_ctrl_benchmark.rotor_flights import loss_figures
from spike_ctrl_benchmark.thrown_flights import thrown_figures

CRAFT = airframe.load("crazyflie")


def policy(name):
    return PolicyController(checkpoint.load(resources.folder("models") / f"{name}.safetensors").policy)


def test_a_crazyflie_hovers_level_until_a_rotor_has_lost_half_of_its_thrust():
    assert rotor_flights.level_share(CRAFT) == pytest.approx(1 - 0.0662 / 0.1302, abs=1e-3)


def test_who_leaves_the_set_point_is_not_kept_and_meets_the_ground_at_its_speed():
    error = np.zeros((1200, 4, 3))
    error[:, 0, 0] = 0.3  # stays
    error[:, 1, 2] = -0.02 * np.arange(1200)  # sinks at 2 m/s, before the failure too
    error[:, 2, 1] = np.arange(1200) * 0.01  # flies away level
    error[1100:, 3] = 50.0  # after the time that counts
    found = loss_figures(error, np.array([0.5, 0.5, 0.5, 0.0]))
    assert found.flights == 4 and found.kept == 0.5 and found.touchdown == pytest.approx(2.0)
    assert found.rmse == pytest.approx(0.3 * math.sqrt(801 / (801 + 801)), rel=0.01)  # from 2 s after the failure to 10 s
    assert found.median_rmse == pytest.approx(0.15)  # of one at .3 m and one at the set-point


def test_nobody_is_no_number():
    found = loss_figures(np.zeros((10, 0, 3)), np.zeros(0))
    assert found.flights == 0 and math.isnan(found.kept) and math.isnan(found.touchdown)
    assert plain({"hover": {"whole": found}})["hover"]["whole"]["rmse"] is None


def test_caught_is_who_stays_above_the_ground_and_comes_back():
    error = np.zeros((500, 4, 3))
    error[50, 0, 2] = -1.5
    error[50, 1, 2] = -3.5  # into the ground
    error[:, 2, 0] = 2.0  # does not come back
    error[100, 3, 0] = 7.0  # too far
    found = thrown_figures(error)
    assert (found.kept, found.caught, found.lost) == (0.75, 0.25, 1.5)


def test_attitudes_are_uniform_on_the_rotations():
    """Of a uniform rotation the mean is zero, and the angle's cosine has the mean -1/2 (density (1 - cos a) / pi)."""
    environment = Environment(CRAFT, 4096, Task(start=thrown_flights.START))
    environment.reset(seed=3)
    turns = Rotation.from_quat(environment.read(slice(3, 7)))
    np.testing.assert_allclose(turns.as_matrix().mean(0), 0, atol=0.04)
    assert np.cos(turns.magnitude()).mean() == pytest.approx(-0.5, abs=0.04)


def test_a_guide_that_is_told_keeps_a_vehicle_with_a_weak_rotor_and_no_policy_is_told(monkeypatch):
    monkeypatch.setattr(rotor_flights, "PATHS", {"hover": rotor_flights.PATHS["hover"]})
    monkeypatch.setattr(rotor_flights, "AFTER", 3.0)
    craft = airframe.load("crazyflie_drag")
    environment, _ = hovering(craft, 4, 10, Randomisation(rotor_loss=RotorLoss(chance=1.0, least=0.6, most=0.6, latest=0.0)))
    told = rotor_flights.ToldGuide(craft)
    told.begin(4)
    told.act(environment.true_observation, environment)
    with pytest.raises(ValueError, match="wanted one of ours"):
        told.act(environment.true_observation, None)
    assert next(iter(rotor_flights.told_guides(craft))) == "guide, told the loss"
    found = rotor_flights.fly_rotor_losses(told, craft, 16)["hover"]
    assert found["level"].kept == 1.0 and found["level"].rmse < 0.3


def test_drawn_airframes_lose_a_rotor_each_by_its_own_limit(monkeypatch):
    monkeypatch.setattr(rotor_flights, "PATHS", {"hover": rotor_flights.PATHS["hover"]})
    carrier, any_quad = airframe.load("any_quad"), policy("any_quad")
    flown = rotor_flights.fly_path(any_quad, carrier, rotor_flights.PATHS["hover"], 64, 1, ANY["motors"])
    # Thrust/weight is drawn from 1.5 to 5, and a vehicle hovers level with a quarter of its weight on each rotor.
    assert 1 - 1 / 1.5 <= flown.level.min() < 0.5 and 0.6 < flown.level.max() <= 1 - 1 / 5
    both = rotor_flights.fly_rotor_losses(any_quad, carrier, 64, (1, 2), ANY["motors"])["hover"]
    assert sum(figures.flights for figures in both.values()) == 128
    assert both["level"].kept > 0.8 and both["whole"].kept < 0.1


def test_who_was_trained_with_failures_on_drawn_airframes_keeps_vehicles_that_must_turn(monkeypatch):
    monkeypatch.setattr(rotor_flights, "PATHS", {"hover": rotor_flights.PATHS["hover"]})
    carrier = airframe.load("any_quad")
    lost, before = (
        rotor_flights.fly_rotor_losses(policy(name), carrier, 192, (1,), ANY["motors"])["hover"]
        for name in ("any_quad_rotor", "any_quad")
    )
    assert lost["level"].kept > 0.94 and lost["turning"].kept > 0.4 > 0.2 > before["turning"].kept


def test_drawn_airframes_are_thrown_by_their_own_seeds():
    carrier, any_quad = airframe.load("any_quad"), policy("any_quad")
    one, other, both = (
        thrown_flights.fly_thrown(any_quad, carrier, 16, seeds, ANY["motors"]) for seeds in ((1,), (2,), (1, 2))
    )
    assert both.kept == pytest.approx((one.kept + other.kept) / 2) and 0.3 < both.kept <= 1


def test_who_was_trained_with_thrown_airframes_keeps_more_of_them():
    thrown, before = (
        thrown_flights.fly_thrown(policy(name), airframe.load("any_quad"), 128, (1,), ANY["motors"])
        for name in ("any_quad_thrown", "any_quad")
    )
    assert thrown.kept > 0.85 and thrown.kept > before.kept + 0.1 and thrown.caught > before.caught + 0.1


def test_the_shipped_policy_keeps_vehicles_that_can_hover_only_by_turning_and_catches_thrown_ones():
    craft, shipped = airframe.load("crazyflie_drag"), policy("crazyflie_any_rotor")
    found = rotor_flights.fly_rotor_losses(shipped, craft, 32)
    assert all(kinds["level"].kept > 0.95 for kinds in found.values())
    assert found["hover"]["turning"].kept > 0.9 and found["figure8"]["turning"].kept > 0.7
    assert thrown_flights.fly_thrown(shipped, craft, 64).caught > 0.75


def test_the_robust_policy_loses_a_vehicle_without_a_rotor_and_catches_most_that_are_thrown():
    robust = policy("crazyflie_robust")
    lost = rotor_flights.fly_rotor_losses(robust, CRAFT, 32)["hover"]
    assert lost["whole"].kept == 0 and lost["whole"].touchdown > 4 and lost["level"].kept > 0.5
    assert thrown_flights.fly_thrown(robust, CRAFT, 64).caught > 0.5
    assert len(rotor_flights.rotor_table("x", {"hover": lost}).splitlines()) == 4


def test_stuck_rotors_are_told_apart_by_their_speed_and_keep_to_it():
    never = PolicyController(checkpoint.load(resources.folder("models") / "crazyflie.safetensors").policy)
    craft, hover = airframe.load("crazyflie_drag"), rotor_flights.PATHS["hover"]
    flown = rotor_flights.fly_path(never, craft, hover, 64, 5, loss=rotor_flights.STUCK_LOSS)
    kinds = flown.kinds()
    assert list(kinds) == ["0 to 0.5", "0.5 to 0.85", "0.85 to 1"]
    assert sum(mask.sum() for mask in kinds.values()) == 64 and (flown.share == 0).all()
    slow, fast = kinds["0 to 0.5"], kinds["0.85 to 1"]
    assert flown.stuck[slow].max() <= 0.5 < 0.85 <= flown.stuck[fast].min()
    far = slow | fast
    assert not rotor_flights.kept_within(flown.error[:, far], flown.begun[far]).any()  # it knows no such rotor


def test_who_was_trained_with_stuck_rotors_flies_on_with_a_rotor_at_full_speed():
    craft = airframe.load("crazyflie_drag")
    trained, before = (
        rotor_flights.fly_rotor_losses(policy(name), craft, 64, loss=rotor_flights.STUCK_LOSS)
        for name in ("crazyflie_any_rotor_stuck", "crazyflie_any_rotor")
    )
    for path in rotor_flights.PATHS:
        assert min(kind.kept for kind in trained[path].values()) > 0.8 and before[path]["0 to 0.5"].kept > 0.9
        assert before[path]["0.85 to 1"].kept < 0.6 < trained[path]["0.85 to 1"].kept
