"""A policy that rests beside its set-point is trimmed to rest on it; one that does not hover is left as it is.

The oracle is a policy whose place of rest we know: a shipped one that is told a wrong position.
"""

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.evaluation import hover_trim
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy

BESIDE = np.array([0.12, -0.07, 0.09], np.float32)  # m


def told_wrong(name: str, by: np.ndarray):
    """A shipped policy that sees itself `by` farther than it is, and so rests at -by."""
    loaded = checkpoint.load(name)
    weights = dict(loaded.weights)
    weights["layer0.bias"] = weights["layer0.bias"] + weights["layer0.weight"][:, :3] @ by
    return weights, loaded.manifest.contract.neuron


@pytest.mark.parametrize("name", ["crazyflie", "crazyflie_robust"])
def test_a_policy_that_rests_beside_its_set_point_is_found_and_rests_on_it_after(name):
    craft = airframe.load("crazyflie")
    weights, neuron = told_wrong(name, BESIDE)
    np.testing.assert_allclose(hover_trim.hover_offset(SpikingPolicy(weights, neuron), craft), -BESIDE, atol=0.03)
    better = hover_trim.trimmed(weights, neuron, craft)
    assert np.linalg.norm(hover_trim.hover_offset(SpikingPolicy(better, neuron), craft)) < 0.02
    assert {key for key in weights if not np.array_equal(better[key], weights[key])} == {"layer0.bias"}
    before, after = (evaluate(SpikingPolicy(found, neuron), craft, starts=64) for found in (weights, better))
    assert before.hover_error_m["median"] > 0.14 and after.hover_error_m["median"] < 0.03


def test_one_that_falls_is_left_as_it_is():
    weights, neuron = told_wrong("crazyflie", BESIDE)
    weights["output.bias"] = weights["output.bias"] - 4  # the rotors stand still
    left = hover_trim.trimmed(weights, neuron, airframe.load("crazyflie"))
    assert all(np.array_equal(left[key], weights[key]) for key in weights)


def test_a_recipe_asks_for_it_and_a_network_that_sees_otherwise_is_refused():
    assert recipes.find("td3bc").schedule.hover_trim and not recipes.find("default").schedule.hover_trim
    for name, network in (("teacher", None), ("default", {"voltage": True})):
        plan = recipes.to_dict(recipes.find(name))
        plan["schedule"] |= {"hover_trim": True}
        plan["network"] |= network or {}
        with pytest.raises(UsageError, match=r"schedule\.hover_trim: found with network.*, wanted only with a spiking"):
            recipes.from_dict(plan)


def test_a_network_of_ones_own_does_not_inherit_it():
    own = {"name": "own", "base": "td3bc", "network": {"class": "examples.alif:ALIF", "hidden": [32, 32]}}
    assert not recipes.from_dict(own).schedule.hover_trim
    with pytest.raises(UsageError, match=r"schedule\.hover_trim: found with network examples\.alif:ALIF"):
        recipes.from_dict(own | {"schedule": {"hover_trim": True}})
