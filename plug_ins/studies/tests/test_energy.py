"""Operations and energy of networks, against the paper's figures and counts by hand."""

import copy
import time

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.control.geometric_guide import Gains
from spike_ctrl.evaluation import energy
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.snn.neuron import Neuron
from spike_ctrl_studies import dense_baseline, energy_study, guide_flights, paper
from spike_ctrl_studies.study import AGREES, DIFFERS, StudyOptions, UnitContext

AIRFRAME = airframe.load("crazyflie")


def verdicts(findings):
    return [finding.verdict for finding in findings]


def test_the_energy_formula_gives_the_papers_97_nanojoules_for_its_network():
    # 256 (81 + 18 1.7) + 128 (81 + 256 1.7) + 4 128 1.7 = 95 513.6; spikes 23.6 .21 (256 + 128) = 1903.1
    assert energy.spiking_energy_pj((18, 256, 128, 4), 0.79) == pytest.approx(95_513.6 + 1903.104)
    assert round(energy.spiking_energy_pj((18, 256, 128, 4), 0.79) / 1e3) == paper.ENERGY["SNN 256-128"]["energy_nj"]


def test_the_energy_formula_counts_every_term_of_a_tiny_network_once():
    # Two inputs, one neuron, one output: update 81 + two weights, half a spike, one weight of the readout.
    assert energy.spiking_energy_pj((2, 1, 1), 0.5) == pytest.approx(81 + 2 * 1.7 + 0.5 * 23.6 + 1.7)
    assert energy.spiking_energy_pj((2, 1, 3, 1), (0.0, 1.0)) == pytest.approx(
        (81 + 2 * 1.7) + 23.6 + 3 * (81 + 1.7) + 0 + 3 * 1.7
    )


def test_operations_of_the_papers_networks_when_all_inputs_and_weights_count():
    assert energy.synaptic_operations(np.ones((256, 18)), np.ones(18)) == 4608  # 4.6k MACs
    ann = [(np.ones((64, 146)), 146), (np.ones((64, 64)), 64), (np.ones((4, 64)), 64)]
    assert sum(energy.synaptic_operations(weight, np.ones(n)) for weight, n in ann) == 13_696  # 13.7k MACs


def test_weights_and_inputs_that_are_zero_cost_nothing():
    weight = np.array([[1.0, 0.0, 2.0], [3.0, 0.0, 0.0]])
    assert energy.synaptic_operations(weight, np.array([1.0, 1.0, 0.5])) == 2 + 0 + 0.5


class Still:
    """An environment that nothing reads."""


def test_spikes_and_operations_of_a_spiking_network_are_counted_as_by_hand():
    # Neuron 0 gets input 0 and fires when it is 1; neuron 1 never fires. Readout: one weight of neuron 0 is 0.
    weights = {
        "layer0.weight": np.array([[1.0, 0.0], [0.0, 0.1]], np.float32),
        "layer0.bias": np.zeros(2, np.float32),
        "layer0.beta": np.zeros(2, np.float32),
        "layer0.theta": np.array([0.5, 0.9], np.float32),
        "output.weight": np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]], np.float32),
        "output.bias": np.zeros(3, np.float32),
    }
    flown = energy.CountingSpikes(SpikingPolicy(weights))
    flown.begin(2)
    # Two vehicles, two steps. The soft reset takes .5 off the membrane one step after a spike: 1 - .5 does not exceed .5.
    flown.act(np.array([[1, 1], [0, 1]], np.float32), Still())
    flown.act(np.array([[1, 0], [0, 1]], np.float32), Still())
    cost = flown.cost(weights)
    assert flown.spikes.tolist() == [1, 0]
    assert cost.macs == 2 / 4 + 3 / 4  # each input reaches one weight that is not 0; they are not 0 in 2 and 3 of 4 steps
    assert cost.acs == 1 / 4 * 2
    assert cost.dense == 2 * 2 + 2 * 3
    assert cost.sparsity == 1 - 1 / 8
    assert cost.footprint == 4 * (4 + 2 + 2 + 2 + 6 + 3) + 4 * (2 + 2)


def test_operations_of_a_recurrent_layer_are_counted_as_by_hand():
    # As above, and neuron 1 hears neuron 0's last spike, which takes it above its threshold.
    weights = {
        "layer0.weight": np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.1, 1.0, 0.0]], np.float32),
        "layer0.bias": np.zeros(2, np.float32),
        "layer0.beta": np.zeros(2, np.float32),
        "layer0.theta": np.array([0.5, 0.9], np.float32),
        "output.weight": np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]], np.float32),
        "output.bias": np.zeros(3, np.float32),
    }
    flown = energy.CountingSpikes(SpikingPolicy(weights, Neuron(recurrent=True)))
    flown.begin(1)
    flown.act(np.array([[1, 0]], np.float32), Still())
    flown.act(np.array([[0, 0]], np.float32), Still())
    cost = flown.cost(weights)
    assert flown.spikes.tolist() == [1, 1]
    assert cost.macs == 1 / 2
    assert cost.acs == 1 / 2 * 1 + 1 / 2 * 2 + 1 / 2 * 3  # neuron 0 to neuron 1, and both to the outputs
    assert cost.dense == 2 * 4 + 2 * 3
    more = energy.spiking_energy_pj((2, 1, 1), 0.5, True) - energy.spiking_energy_pj((2, 1, 1), 0.5)
    assert more == pytest.approx(energy.SYNAPSE_PJ)


def test_an_ann_with_history_takes_in_its_last_actions_oldest_first():
    policy = dense_baseline.DensePolicy([(np.eye(26, dtype=np.float32), np.zeros(26, np.float32)),
                                   (np.zeros((4, 26), np.float32), np.zeros(4, np.float32))], history=2)  # fmt: skip
    policy.begin(1)
    policy.remember(np.full((1, 4), 0.25, np.float32))
    policy.remember(np.full((1, 4), 0.5, np.float32))
    taken = policy.layers(np.zeros((1, 18), np.float32))[0]
    assert taken[0, 18:].tolist() == [0.25] * 4 + [0.5] * 4
    policy.forget(np.array([True]))
    assert not policy.layers(np.zeros((1, 18), np.float32))[0].any()


def test_relu_zeros_are_no_operations_of_the_ann():
    first = np.zeros((2, 18), np.float32)
    first[0, 0], first[1, 1] = 1.0, -1.0  # with positive inputs the second neuron is never active
    flown = energy_study.CountingDense(
        [(first, np.zeros(2, np.float32)), (np.ones((4, 2), np.float32), np.zeros(4, np.float32))], 0
    )
    flown.begin(1)
    flown.act(np.ones((1, 18), np.float32), Still())
    cost = flown.cost()
    assert (cost.macs, cost.acs, cost.dense, cost.sparsity) == (2 + 4, 0, 36 + 8, 0.5)


def test_an_ann_learns_from_the_guide_and_equal_seeds_learn_alike():
    taught = [dense_baseline.imitate(AIRFRAME, (16,), 2, 128 * 50 * rounds, 3, Gains()) for rounds in (1, 1, 10)]
    for (a, _), (b, _) in zip(taught[0].weights, taught[1].weights, strict=True):
        np.testing.assert_array_equal(a, b)
    observation, label = guide_flights.flights(AIRFRAME, 8, 60, seed=9)

    def error(policy):
        policy.begin(8)
        total = 0.0
        for seen, wanted in zip(observation, label, strict=True):
            total += np.square(policy.layers(seen)[-1] - wanted).mean()
            policy.remember(wanted)
        return total

    assert error(taught[2]) < 0.8 * error(taught[0])


def test_energy_findings_follow_from_the_numbers(tmp_path):
    unit = next(unit for unit in energy_study.units(StudyOptions(quick=True)) if unit.name == "model-crazyflie")
    lines = energy_study.measure(unit.settings, UnitContext(time.monotonic, lambda share, text: None, tmp_path)).lines
    report = energy_study.report(StudyOptions(quick=True), {unit.name: lines})
    row = report.table[0]
    assert row["dense"] == 37_888 and 4000 < row["MACs"] <= 4608 and 0.5 < row["sparsity"] < 1
    shift = copy.deepcopy(lines)
    shift[0]["cost"] |= {"sparsity": 0.79, "layer_sparsity": [0.79, 0.79], "acs": 12_200.0}
    assert verdicts(energy_study.report(StudyOptions(), {unit.name: shift}).findings)[:3] == [AGREES] * 3
    shift[0]["cost"] |= {"sparsity": 0.2, "acs": 30_000.0}
    assert verdicts(energy_study.report(StudyOptions(), {unit.name: shift}).findings)[:2] == [DIFFERS] * 2
