"""A policy that is tuned in flight for a vehicle that changed."""

from dataclasses import replace

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl_adaptation import fine_tuning
from spike_ctrl_adaptation.fine_tuning import draw_plants, fine_tune
from spike_ctrl_adaptation.plant_estimate import THRUST, unchanged

CRAFT = airframe.load("sih_quadx")
DATA = checkpoint.read("models/sih_quadx.safetensors")
PARENT = checkpoint.loads(DATA)


def estimated(thrust=1.0, force=(0.0, 0.0, 0.0), width=0.05):
    found = unchanged(CRAFT)
    mean = found.mean.copy()
    mean[THRUST], mean[1:4] = thrust, force
    return found._replace(mean=mean, covariance=np.diag(np.minimum(np.diag(found.covariance), width**2)), seconds=2.0)


@pytest.mark.parametrize("yaw", [0.0, 1.5708])
def test_a_child_holds_its_place_in_a_wind_that_pushes_its_parent_away(yaw):
    """The weights of a fine-tuning are those of a rehearsal in the same wind, by the rehearsal's own kernel."""
    child = fine_tune(DATA, CRAFT, estimated(force=(0.0, 3.0, 0.0)), yaw, 1, "child")
    assert child.before > 0.07 and child.after < 0.4 * child.before
    about = checkpoint.loads(child.data).manifest
    assert about.ancestor == about.parent != "" and about.adaptation["estimate"]["force_y"] == 3.0


def test_a_child_that_comes_to_rest_aside_is_moved_to_the_set_point():
    """A first layer that sees every place 8 cm farther south, and .05 m lower, rests 8 cm north and .05 m above."""
    wind = estimated(force=(0.0, 3.0, 0.0))
    straight = fine_tuning._tuned(PARENT, CRAFT, wind, 0.0, 1)
    aside = np.array([0.0, 0.08, 0.05], np.float32)
    askew = straight | {"layer0.bias": straight["layer0.bias"] - straight["layer0.weight"][:, :3] @ aside}
    plant = fine_tuning.changed_plant(CRAFT, wind, 0.0)
    rests = fine_tuning._last_second(SpikingPolicy(askew, PARENT.manifest.contract.neuron), CRAFT, 100.0, plant)
    assert np.linalg.norm(rests.mean((0, 1)) - aside) < 0.01
    child = fine_tuning.child_of(PARENT, DATA, CRAFT, wind, 0.0, 1, "child", askew)
    held = fine_tuning._last_second(checkpoint.loads(child.data).policy, CRAFT, 100.0, plant)
    assert np.linalg.norm(held.mean((0, 1))) < 0.005


def test_plants_are_drawn_as_far_apart_as_the_estimate_is_unsure_and_sums_stay_sums():
    found = estimated(0.8)
    covariance = np.zeros((8, 8))
    covariance[0, 0], covariance[3, 3], covariance[0, 3] = 0.05**2, (0.05 * 9.81) ** 2, -(0.05**2) * 9.81
    covariance[3, 0] = covariance[0, 3]
    found = found._replace(covariance=covariance + 1e-8 * np.eye(8))
    mass, thrust, force, moment = draw_plants(found, CRAFT, 2000, np.random.default_rng(0))
    factor, lift = thrust / mass, force[:, 2] / (CRAFT.mass * mass)
    assert abs(factor.mean() - 0.8) < 0.01 and 0.045 < factor.std() < 0.055
    assert np.std(9.81 * factor + lift) < 0.01 < 0.3 < np.std(lift)
    assert 0.4 < np.mean(mass > 1) < 0.6  # a load, or weaker rotors
    assert not moment.any()  # the rate loop removes it


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"thrust": 0.4}, "thrust: found 0.40 of the airframe's, wanted 0.55 to 1.6: four working rotors"),
        ({"force": (5.0, 5.0, 0.0)}, "force: found 7.1 m/s^2, wanted at most 6"),
    ],
)
def test_a_vehicle_that_no_sound_quadrotor_can_be_is_refused(change, words):
    with pytest.raises(UsageError, match=words.replace("^", r"\^")):
        fine_tune(DATA, CRAFT, estimated(**change), 0.0, 1, "child")


def test_another_layout_and_weights_that_are_not_numbers_are_refused():
    other = checkpoint.load("models/crazyflie.safetensors")
    fine_tuning.require_tunable(other, airframe.load("crazyflie"))
    with pytest.raises(UsageError, match="layout: found 'motors', wanted 'rates' as of sih_quadx"):
        fine_tuning.require_tunable(other, CRAFT)
    learns = replace(other, manifest=replace(other.manifest, learns_plant=True))
    with pytest.raises(UsageError, match="learns_plant: found true with layout motors, wanted a policy of one airframe"):
        fine_tuning.require_tunable(learns, airframe.load("crazyflie"))
    heavier = replace(CRAFT, mass=1.1)
    with pytest.raises(UsageError, match="airframe_hash"):
        fine_tuning.require_tunable(PARENT, heavier)
    for spoil in (lambda w: w * np.nan, lambda w: -w):
        weights = dict(PARENT.weights) | {"output.weight": spoil(PARENT.weights["output.weight"])}
        with pytest.raises(UsageError):
            fine_tuning.child_of(PARENT, DATA, CRAFT, estimated(), 0.0, 1, "child", weights)


def test_tuning_in_vain_goes_all_the_way_and_offers_nothing(monkeypatch):
    rehearsed = []
    monkeypatch.setattr(fine_tuning, "child_of", lambda *about: rehearsed.append(about))
    assert fine_tuning.warm_up(DATA, CRAFT) is None and len(rehearsed) == 1


def test_a_child_that_commands_motors_holds_its_place_under_a_moment_that_pushes_its_parent_away():
    """The moment of the rehearsal is beside the airframe's own, whose motors alone hold against it."""
    craft, data = airframe.load("crazyflie"), checkpoint.read("models/crazyflie.safetensors")
    known = unchanged(craft)
    mean = known.mean.copy()
    mean[5:] = 30.0, 0.0, 0.0
    known = known._replace(mean=mean, covariance=np.diag(np.minimum(np.diag(known.covariance), 0.1**2)))
    child = fine_tune(data, craft, known, 0.0, 1, "child")
    assert child.before > 0.04 and child.after < 0.5 * child.before
    mean[5] = 120.0
    with pytest.raises(UsageError, match=r"trim: found 120 rad/s\^2, wanted at most 100"):
        fine_tune(data, craft, known._replace(mean=mean), 0.0, 1, "child")
