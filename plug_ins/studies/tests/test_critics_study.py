"""What critics are compared with: returns and gradients from the simulator, and the measures taken of them."""

import numpy as np
import pytest
import torch
from torch import nn

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim.reward import START
from spike_ctrl_studies import critics_study, training_run
from spike_ctrl_studies.study import AGREES, DIFFERS, StudyOptions

AIRFRAME = airframe.load("crazyflie")


def plan(**changes):
    return training_run.changed(training_run.find_recipe("td3bc"), history=2, **changes)


def costs(reward, terminated):
    """What is learned of a reward: without its bonus for each step."""
    return reward - 1


@pytest.fixture(scope="module")
def policy():
    return checkpoint.load(resources.find("models", "crazyflie_td3bc.safetensors")).policy


def test_with_no_foresight_the_true_gradient_is_that_of_the_actions_own_cost(policy):
    # gamma so small that one step is all: the state after 10 ms hardly depends on the action, its cost does.
    found = critics_study.probe(plan(gamma=1e-3), AIRFRAME, policy, costs, states=64, ages=(0, 5))
    assert [probe.age for probe in found] == [0, 5]
    for probe in found:
        u = (probe.action + 1) / 2
        middle = ((probe.action + 0.2).clip(-1, 1) + (probe.action - 0.2).clip(-1, 1)) / 4 + 0.5  # of the two that differ
        wanted = -START.action * (middle - AIRFRAME.hover)
        assert np.corrcoef(probe.gradient.ravel(), wanted.ravel())[0, 1] > 0.95
        cost = START.action * np.square(u - AIRFRAME.hover).sum(1)
        assert (probe.returns <= -cost + 1e-5).all()


def test_the_privileged_observation_of_a_probe_ends_with_the_last_actions_and_the_rotors(policy):
    early, late = critics_study.probe(plan(gamma=1e-3), AIRFRAME, policy, costs, states=8, ages=(1, 3))
    assert early.privileged.shape == (8, 18 + 2 * 4 + 4 + 6)
    assert not early.privileged[:, 18:22].any() and early.privileged[:, 22:26].any()  # one action flown, oldest first
    assert late.privileged[:, 18:26].all() and (late.privileged[:, 26:30] >= 0).all()


class Known(nn.Module):
    """A critic with this gradient everywhere and these values at action 0."""

    def __init__(self, gradient, values):
        super().__init__()
        self.gradient, self.values = torch.tensor(gradient), torch.tensor(values)

    def forward(self, privileged, action, members=1):
        return (self.values + ((action - action.detach()) * self.gradient).sum(-1)).expand(members, -1)


def test_a_perfect_critic_has_cosine_and_correlation_one_and_one_that_is_upside_down_minus_one():
    returns, gradient = np.array([1.0, 2.0, 4.0]), np.tile([1.0, 0.0, -2.0, 0.0], (3, 1))
    probe = critics_study.Probe(5, np.zeros((3, 30), np.float32), np.zeros((3, 4), np.float32), returns, gradient)
    right = critics_study.check(Known(3 * gradient, returns), probe)
    assert right == {"age": 5} | dict.fromkeys(("correlation", "cosine", "right"), pytest.approx(1)) | {"error": 0}
    wrong = critics_study.check(Known(-gradient, -returns), probe)
    assert wrong["correlation"] == pytest.approx(-1) and wrong["cosine"] == pytest.approx(-1) and wrong["right"] == 0


def test_verdicts_and_rows_follow_from_the_last_update():
    results = {}
    for name, cosine in zip(critics_study.VARIANTS, (-0.2, 0.0, 0.2, 0.3), strict=True):
        checks = [
            {
                "kind": "check",
                "updates": updates,
                "age": age,
                "correlation": 0.9,
                "error": 0.5,
                "cosine": value,
                "right": 0.6,
            }
            for updates, value in ((100, 0.9), (300, cosine))
            for age in (0, 5)
        ]
        results[name] = [*checks, {"kind": "result", "variant": name, "updates": 300}]
    report = critics_study.report(StudyOptions(quick=True), results)
    assert [finding.verdict for finding in report.findings] == [DIFFERS, DIFFERS, AGREES, AGREES]
    assert [row["cosine of gradients"] for row in report.table] == ["-0.20", "0.00", "0.20", "0.30"]
