"""TD3BC with the critic by advantages: it knows what helps where bad states come with large actions."""

import numpy as np
import pytest
import torch
from td3bc_by_hand import SLOPE, algorithm, generator, sequences, window

from spike_ctrl.learn.algorithm_settings import TD3BCSettings as Settings
from spike_ctrl.learn.critics import AdvantageCritic
from spike_ctrl.learn.td3bc import TD3BC
from spike_ctrl.snn.network import SpikingNetwork

pytestmark = pytest.mark.slow


def confounded(steps=20, batch=64, seed=0):
    """Flights of a policy that answers bad states with large actions, as a pilot does; what would help is known.

    Reward -x^2 - .02 |action - own - help|^2 with the bad x in the first observation number, own = x in all motors and
    help = (.3, 0, 0, 0), where the action deviates from own by noise of .2.
    """
    rng = np.random.default_rng(seed)
    sample = sequences(steps, batch, seed=seed)
    sample.privileged[:] = 0
    x = rng.normal(size=(steps + 1, batch)).clip(-2, 2) / 2
    sample.privileged[..., 0] = x
    own = np.repeat(x[..., None], 4, axis=2).astype(np.float32)
    noise = 0.2 * rng.normal(size=(steps, batch, 4)).astype(np.float32)
    help_ = np.array([0.3, 0, 0, 0], np.float32)
    reward = -np.square(x[:-1]) - 0.02 * np.square(noise - help_).sum(-1)
    return sample._replace(action=own[:-1] + noise, reward=reward.astype(np.float32)), torch.from_numpy(own)


def advantage(rate=1e-2, **settings):
    actor = SpikingNetwork((18, 24, 16, 4), generator=generator())
    return TD3BC(actor, AdvantageCritic(32, generator(1)), Settings(**{"burn_in": 0, "gamma": 0.0} | settings), rate)


def direction(learner, batch, own):
    """Mean cosine between the gradient of the actor's opinion at its own action and the way that helps."""
    action = own[:-1].clone().requires_grad_(True)
    _, opinion = learner.actor_losses(batch, action)
    way = -torch.autograd.grad(opinion, action)[0]
    return (way[..., 0] / way.norm(dim=-1).clamp(min=1e-12)).mean().item()


def taught(learner, updates=150):
    for index in range(updates):
        sample, own = confounded(seed=index)
        learner.own_actions = lambda batch, slope, own=own: own
        learner.update_critics(learner.batch(sample), SLOPE, generator(index))
    sample, own = confounded(seed=9999)
    return learner.batch(sample), own


@pytest.fixture(scope="module")
def learned():
    """A learner that was taught, with the batch and the actions that it is asked about."""
    learner = advantage()
    return learner, *taught(learner)


def test_it_points_the_way_that_helps_although_bad_states_come_with_large_actions(learned):
    assert direction(*learned) > 0.7
    twin = algorithm(rate=1e-2, gamma=0.0)  # the reason for the other one: the same data mislead it
    assert direction(twin, *taught(twin)) < 0.5


def test_its_value_is_the_return_of_the_policy_itself_without_what_deviations_add(learned):
    learner, batch, _ = learned
    wanted = -batch.privileged[:-1, :, 0].square() - 0.02 * 0.3**2
    with torch.no_grad():
        error = learner.critic.value(batch.privileged[:-1]) - wanted
    assert error.abs().mean() < 0.05 * wanted.std()


def test_an_action_equal_to_the_policys_own_has_no_advantage():
    critic, batch = AdvantageCritic(16, generator()), advantage().batch(sequences())
    found = critic.advantage(batch.privileged[:-1], batch.action, batch.action)
    assert not found.detach().any()
    assert critic.advantage(batch.privileged[:-1], batch.action, -batch.action).detach().abs().min() > 0


def test_the_gain_of_an_action_over_itself_is_nothing_with_the_gradient_of_its_advantage():
    critic, batch = AdvantageCritic(16, generator()), advantage().batch(sequences())
    action = batch.action.requires_grad_(True)
    gain = critic.gain(batch.privileged[:-1], action)
    assert not gain.detach().any()
    other = critic.advantage(batch.privileged[:-1], action, torch.zeros_like(action))
    torch.testing.assert_close(*(torch.autograd.grad(found.sum(), action)[0] for found in (gain, other)))


def test_it_bootstraps_with_the_value_of_its_target_and_not_at_a_crash():
    learner = advantage(gamma=0.9)
    batch = learner.batch(window(terminated=[1]))
    found = learner.targets(batch, learner.own_actions(batch, SLOPE), generator())
    value = learner.critic_target.value(batch.privileged)[:, 0]
    wanted = [1 + 0.9 * value[1].item(), 2.0, 3 + 0.9 * value[3].item()]
    assert found[:, 0].tolist() == pytest.approx(wanted)


def test_the_opinion_by_advantages_reaches_every_parameter_of_the_actor():
    learner = advantage()
    batch = learner.batch(sequences(30, 32))
    action, _, _ = learner.actor.unroll(batch.observation[:-1], learner.actor.initial_state(32), SLOPE)
    _, opinion = learner.actor_losses(batch, action)
    for name, parameter in learner.actor.named_parameters():
        assert torch.autograd.grad(opinion, parameter, retain_graph=True)[0].abs().max() > 1e-8, name
