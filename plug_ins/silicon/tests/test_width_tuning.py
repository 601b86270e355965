"""Training through the rounding.

- gradients pass the rounding unchanged; weights and leaks that the network sees lie on their grids
- what comes out is rounded again to itself, so a checkpoint of it exports as it was trained
- it repeats by its seed
- a pruned network learns the actions of the whole one
- flight: crazyflie_robust with int4 weights is better after it, within 8 points of float
"""

import numpy as np
import pytest
import torch

from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.evaluation_result import COLUMNS
from spike_ctrl.policy import checkpoint
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl_silicon.flown_cost import flight
from spike_ctrl_silicon.integer_network import IntegerRuntime, NumberWidths
from spike_ctrl_silicon.pruning import pruned
from spike_ctrl_silicon.quantise import integers, quantised, rounded
from spike_ctrl_silicon.width_tuning import Tuning, through, tuned

WIDTHS = NumberWidths(4)


@pytest.fixture(scope="module")
def robust():
    return checkpoint.load("models/crazyflie_robust.safetensors")


def silent(update, loss):
    assert np.isfinite(loss)


def test_gradients_pass_the_rounding_unchanged():
    network = SpikingNetwork((5, 7, 4), generator=torch.Generator().manual_seed(0))
    seen = through(network, WIDTHS)
    sum((3.0 * value).sum() for value in seen.values()).backward()
    assert all((value.grad == 3.0).all() for value in network.parameters())
    weight = seen["layer0.weight"].detach().numpy()
    levels = weight / (np.abs(weight).max(axis=1, keepdims=True) / 7)
    assert (
        np.abs(levels - np.rint(levels)).max() < 1e-4
        and np.abs(weight - network.layers[0].weight.detach().numpy()).max() > 0
    )
    assert not (np.rint(seen["layer0.beta"].detach().numpy() * 2**12 * 1e3) % 1000).any()


def test_what_was_trained_is_rounded_to_itself_and_repeats_by_its_seed(robust):
    few = Tuning(updates=2, vehicles=4, segment=4)
    one, other = (tuned(robust, WIDTHS, 3, "robust", few, silent) for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert any(not np.array_equal(one[name], robust.weights[name]) for name in one)
    for name, weight in one.items():
        if name.endswith("weight"):
            values, unit = integers(weight, 4)
            assert np.abs(values.T * unit[:, None] - weight).max() < 1e-6 and np.abs(values).max() == 7


@pytest.mark.parametrize(("seconds", "steps", "begun"), [(0.5, 50, {0}), (7.0, 700, {0, 500})])
def test_a_flight_lasts_as_long_as_it_is_asked_for(robust, seconds, steps, begun):
    observations, starts = flight(robust, quantised(robust, WIDTHS), seconds)
    assert len(observations) == steps and starts == begun


def test_a_pruned_network_learns_from_the_whole_one(robust):
    network = quantised(robust, WIDTHS)
    small = pruned(robust, (48, 32), flight(robust, network, 0.5)[0], "robust")
    losses = []
    weights = tuned(
        small, NumberWidths(8), 0, "robust", Tuning(updates=60, vehicles=16), lambda _, loss: losses.append(loss)
    )
    assert weights["layer1.weight"].shape[0] == 32 and weights["output.weight"].shape == (4, 32)
    assert np.mean(losses[-9:]) < 0.8 * np.mean(losses[:9])


@pytest.mark.flight
def test_int4_weights_fly_better_after_it_and_within_8_points_of_float(robust):
    weights = tuned(robust, WIDTHS, 0, "robust", Tuning(updates=150), silent)
    network = rounded(weights, robust.manifest.contract.neuron, WIDTHS, robust.self_test)
    policies = (robust.policy, IntegerRuntime(quantised(robust, WIDTHS)), IntegerRuntime(network))
    wanted, before, after = (evaluate(PolicyController(policy), starts=256) for policy in policies)
    for column in COLUMNS:
        returns = [one.columns[column]["return_mean"] for one in (wanted, before, after)]
        assert returns[2] > returns[1] and returns[2] > 0.92 * returns[0], column
