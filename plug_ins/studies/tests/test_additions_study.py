"""What the study of additions trains with: each piece against an oracle, and the recipes that name them."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from example_runs import told_where_to_start
from flown_segment import OBJECTIVE, Remembering, Situation
from td3bc_by_hand import SLOPE, generator, sequences

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.algorithm_settings import TD3BCSettings
from spike_ctrl.learn.critics import CriticInputs
from spike_ctrl.learn.learner import Learner
from spike_ctrl.learn.replay_buffer import privileged_size
from spike_ctrl.sim.dynamics import LANES
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl_studies import additions_study, other_critics, short_horizon
from spike_ctrl_studies.population_coding import PopulationCoded
from spike_ctrl_studies.proxy_target import ProxyUpdates
from spike_ctrl_studies.study import AGREES, DIFFERS, OPEN, StudyOptions

CRAFT = airframe.load("crazyflie")
SEEN = CriticInputs()
SETTINGS = TD3BCSettings(policy_noise=0.0, burn_in=0, reward="shifted", gamma=0.9, tau=1.0)


def network(seed=0):
    return SpikingNetwork((18, 16, 8, 4), generator=torch.Generator().manual_seed(seed))


def flown(learner, rewards, terminated=False):
    """A batch of windows of one step, one for each reward; the states are all the same."""
    count = len(rewards)
    rows = sequences(1, count)
    same = {name: np.repeat(array[:, :1], count, 1) for name, array in rows._asdict().items() if array.ndim == 3}
    ended = np.full((1, count), terminated)
    return learner.batch(rows._replace(**same, reward=np.float32([rewards]), terminated=ended))


def test_redq_believes_the_least_of_the_networks_that_are_drawn():
    critic = other_critics.WideEnsemble(5, 16, generator(), SEEN)
    learner = other_critics.ManyCritics(network(), critic, SETTINGS, 1e-3)
    batch = flown(learner, [0.0] * 3)
    own = learner.own_actions(batch, SLOPE)
    each = learner.critic_target(batch.privileged[1:], own[1:])
    found = {}
    for learner.drawn in (1, 5):
        found[learner.drawn] = torch.stack([learner.targets(batch, own, generator(seed)) for seed in range(12)])
    torch.testing.assert_close(found[5], (0.9 * each.amin(0)).expand_as(found[5]))
    assert {round(float(value), 5) for value in found[1][:, 0, 0]} == {round(float(v), 5) for v in 0.9 * each[:, 0, 0]}


def test_the_quantiles_of_tqc_are_those_of_the_returns():
    critic = other_critics.WideEnsemble(2, 16, generator(), SEEN, outputs=9)
    learner = other_critics.QuantileCritics(network(), critic, SETTINGS, 3e-3)
    learner.left_out = 1
    returns = np.random.default_rng(0).exponential(1.0, 400)
    batch = flown(learner, returns, terminated=True)
    for _ in range(600):
        learner.update_critics(batch, SLOPE, generator())
    learned = learner.critic(batch.privileged[:1, :1], batch.action[:1, :1])[:, 0, 0].detach().numpy()
    wanted = np.quantile(returns, (np.arange(9) + 0.5) / 9)
    np.testing.assert_allclose(np.sort(learned), np.tile(wanted, (2, 1)), atol=0.15)


def test_the_highest_quantiles_of_all_networks_are_not_believed():
    critic = other_critics.WideEnsemble(2, 16, generator(), SEEN, outputs=3)
    learner = other_critics.QuantileCritics(network(), critic, SETTINGS, 1e-3)
    learner.left_out = 1
    quantiles = torch.tensor([[1.0, 2.0, 90.0], [3.0, 80.0, 4.0]])
    learner.critic_target = lambda privileged, action: quantiles[:, None, None].expand(2, *action.shape[:2], 3)
    learner.critic_target.members = 2
    batch = flown(learner, [7.0])
    found = learner._atoms(batch, learner.own_actions(batch, SLOPE), generator())
    torch.testing.assert_close(found[0, 0], 7 + 0.9 * torch.tensor([1.0, 2.0, 3.0, 4.0]))


def test_crossq_normalises_as_torch_does_and_by_running_moments_when_it_only_judges():
    critic = other_critics.BatchNormalisedCritics(16, generator(), SEEN)
    x = 3 + 2 * torch.randn(2, 500, 16, generator=generator())
    critic.train()
    wanted = torch.stack([torch.nn.functional.batch_norm(part, None, None, training=True) for part in x])
    torch.testing.assert_close(critic.normalise(x, 0), wanted, rtol=2e-3, atol=2e-3)  # it divides by N, not by N - 1
    for _ in range(1000):
        critic.normalise(x, 0)
    critic.eval()
    torch.testing.assert_close(critic.normalise(x[:, :1], 0), wanted[:, :1], rtol=2e-2, atol=2e-2)


def test_crossq_learns_rewards_without_target_networks():
    critic = other_critics.BatchNormalisedCritics(32, generator(), SEEN)
    learner = other_critics.WithoutTargets(network(), critic, SETTINGS, 3e-3)
    rows = sequences(8, 64)
    reward = rows.privileged[:-1, :, 0] + rows.action[..., 1]
    batch = learner.batch(rows._replace(reward=reward.astype(np.float32), terminated=np.ones_like(rows.terminated)))
    errors = [learner.update_critics(batch, SLOPE, generator()) for _ in range(300)]
    assert errors[-1] < 0.1 * float(np.var(reward))


def test_a_critic_that_begins_as_the_guides_asks_nobody_else_at_first():
    critic = other_critics.WideEnsemble(2, 16, generator(), SEEN)
    learner = other_critics.GuideFirst(network(), critic, SETTINGS, 1e-3)
    batch = flown(learner, [0.0, 1.0])
    torch.testing.assert_close(learner.own_actions(batch, SLOPE)[:-1], batch.action)
    learner.of_guide = False
    assert not torch.equal(learner.own_actions(batch, SLOPE)[:-1], batch.action)


def test_a_proxy_comes_to_do_what_the_spiking_actor_does():
    critic = other_critics.WideEnsemble(2, 16, generator(), SEEN)
    actor = network()
    proxied = ProxyUpdates(actor, critic, SETTINGS, 1e-3, inputs=privileged_size(), outputs=4, generator=generator())
    batch = proxied.batch(sequences(10, 64))
    wanted = actor.unroll(batch.observation, actor.initial_state(64), SLOPE)[0].detach()
    first = (proxied.own_actions(batch, SLOPE) - wanted).square().mean()
    for _ in range(200):
        found = proxied.own_actions(batch, SLOPE)
    assert (found - wanted).square().mean() < 0.2 * first
    assert not found.requires_grad


def test_a_population_answers_most_where_its_field_stands_and_steps_as_it_unrolls():
    module = PopulationCoded(
        18, 4, torch.Generator().manual_seed(0), hidden=(16, 8), fields=5
    )  # at 0, 1/4 and all of the reach
    at = torch.zeros(18)
    at[0] = 1.5  # the outermost field of the position's x
    activity = module.activity(at).detach().reshape(18, 5)
    assert activity[0].argmax() == 4 and activity[0, 4] == pytest.approx(1)
    assert activity[1].argmax() == 2 and activity[1, 1] == pytest.approx(activity[1, 3].item(), rel=1e-6)
    # The field at 1/4 of the reach is 1/4 away from 0, and its neighbours are 1/4 and 3/4 away.
    assert activity[1, 1] == pytest.approx(np.exp(-((0.25 / 0.5) ** 2) / 2), rel=1e-6)
    observation = torch.randn(12, 3, 18, generator=torch.Generator().manual_seed(1))
    at_once, _, _ = module.unroll(observation, module.initial_state(3), 5.0)  # by the fused kernel
    state = module.initial_state(3)
    for seen, wanted in zip(observation, at_once, strict=True):
        action, state = module.step(seen, state)
        torch.testing.assert_close(action, wanted, rtol=1e-4, atol=1e-5)


def test_what_comes_after_a_segment_pulls_on_the_policy_as_finite_differences_say():
    situation, module = Situation("crazyflie", 3), Remembering()
    restrained = OBJECTIVE._replace(decay=np.float32(1.0), limit=np.float32(1e9))

    def total(beyond=lambda seen: 50 * seen[:, :3].square().sum(1)):
        flown, _ = situation.fly(module.step, module.initial_state(LANES), restrained, beyond)
        return flown.cost

    assert total().item() > total(None).item()
    total().backward()
    weight = module.out.bias
    for index in range(4):
        with torch.no_grad():
            values = []
            for step in (1e-2, -2e-2):
                weight[index] += step
                values.append(total().item())
            weight[index] += 1e-2
        assert weight.grad[index].item() == pytest.approx((values[0] - values[1]) / 2e-2, rel=0.05, abs=0.02)


def short_learner():
    recipe = additions_study.plan(SHORT, additions_study.ADDITIONS[SHORT], CRAFT)
    small = dataclasses.replace(recipe.bptt, vehicles=64, pool=64, updates=1)
    network_small = dataclasses.replace(recipe.network, hidden=(16, 8))
    return Learner(dataclasses.replace(recipe, bptt=small, network=network_small), CRAFT, 8, 0)


def test_a_short_horizon_trains_policy_and_critic():
    learner = short_learner()
    told_where_to_start(learner)
    before, critic = learner.flying_weights(), copy.deepcopy(learner.method.critic.state_dict())
    assert learner.iterate()["skipped_updates"] == 0
    assert all(not np.array_equal(before[name], after) for name, after in learner.flying_weights().items())
    assert any(not torch.equal(critic[name], after) for name, after in learner.method.critic.state_dict().items())


def test_the_critic_of_a_short_horizon_learns_what_is_to_come():
    method = short_learner().method
    assert isinstance(method, short_horizon.ShortHorizon)
    rng = np.random.default_rng(0)
    seen = np.zeros((8, 18), np.float32)
    seen[:, 3:12] = np.eye(3).ravel()
    near, far = seen.copy(), seen.copy()
    far[:, :3] = 1.0
    for _ in range(400):  # vehicles that stay where they are, at the set-point or 1.7 m from it
        which = rng.random(8) < 0.5
        rows = torch.from_numpy(np.where(which[:, None], near, far))
        method._seen, method._given = [rows] * 33, [torch.full((8, 4), 2 * CRAFT.hover - 1)] * 32
        method._learn(method._objective(0.0))
    at = method._value(method.critic, torch.from_numpy(np.stack([near[0], far[0]]))).detach().numpy()
    for value, state in zip(at, (near, far), strict=True):
        each = method._cost(state[None, :1], np.full((1, 1, 4), CRAFT.hover, np.float32), method._objective(0.0))[0, 0]
        assert value == pytest.approx(each / (1 - method.gamma), rel=0.25, abs=3)  # for ever


SHORT = "short-horizon actor-critic"


@pytest.mark.parametrize("name", additions_study.ADDITIONS)
def test_each_variant_is_a_recipe_that_can_be_written_and_read_again(name):
    found = additions_study.plan(name, additions_study.ADDITIONS[name], CRAFT)
    assert recipes.from_dict(recipes.to_dict(found), "again") == found
    assert not found.schedule.hover_trim
    changed = recipes.to_dict(found)
    base = recipes.to_dict(recipes.find(additions_study.ADDITIONS[name].recipe))
    different = {key for key in changed if changed[key] != base.get(key)} - {"name", "schedule"}
    assert different == set(additions_study.ADDITIONS[name].changes)


def test_a_recipe_of_the_users_is_refused():
    with pytest.raises(UsageError, match="--recipe: found 'td3bc', wanted none"):
        additions_study.units(StudyOptions(recipe="td3bc"))
    with pytest.raises(UsageError):
        additions_study.plan("x", additions_study.Addition({"td3bc": {"critic": "none"}}), CRAFT)


def test_an_addition_is_better_where_the_seeds_do_not_cover_the_gap(monkeypatch):
    scores = {"td3bc": [450.0, 452.0], "good": [460.0, 461.0], "bad": [440.0, 441.0], "same": [440.0, 470.0]}
    monkeypatch.setattr(additions_study, "_returns", lambda runs: runs)
    monkeypatch.setattr(additions_study, "ADDITIONS", {name: additions_study.Addition({}) for name in scores})
    found = [additions_study._finding(name, scores[name], scores["td3bc"]).verdict for name in ("good", "bad", "same")]
    assert found == [AGREES, DIFFERS, OPEN]
