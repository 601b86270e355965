"""The twin critics: two networks side by side that know nothing of each other."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import layer_norm

from spike_ctrl import airframe
from spike_ctrl.learn.critics import RATES_SCALE, VELOCITY_SCALE, CriticInputs, TwinCritic
from spike_ctrl.learn.replay_buffer import Widths, privileged_size
from spike_ctrl.sim.environment import Environment


def critic(width=12, seed=0):
    return TwinCritic(width, torch.Generator().manual_seed(seed)).double()


def inputs(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, size, generator=generator, dtype=torch.float64) for size in (privileged_size(), 4))


def alone(twins, member, privileged, action):
    """One member written out: linear, normalised, rectified, twice; then linear."""
    x = torch.cat([privileged, action], -1)
    scale = torch.ones(x.shape[-1], dtype=x.dtype)
    scale[12:15], scale[15:18] = VELOCITY_SCALE, RATES_SCALE
    x = x * scale
    for index in range(3):
        x = x @ twins.weights[index][member] + twins.biases[index][member]
        if index < 2:
            x = torch.relu(layer_norm(x, (twins.width,)))
    return x[..., 0]


@pytest.mark.parametrize("shape", [(5,), (7, 5), (1, 1)])
def test_each_member_equals_a_network_of_its_own(shape):
    twins, (privileged, action) = critic(), inputs(*shape)
    value = twins(privileged, action)
    assert value.shape == (2, *shape)
    for member in range(2):
        torch.testing.assert_close(value[member], alone(twins, member, privileged, action))


def test_asking_for_one_member_gives_the_first():
    twins, (privileged, action) = critic(), inputs(7, 5)
    torch.testing.assert_close(twins(privileged, action, members=1), twins(privileged, action)[:1])


def test_the_members_start_different_and_neither_teaches_the_other():
    twins, (privileged, action) = critic(), inputs(9)
    first, second = twins(privileged, action)
    assert (first - second).abs().min() > 1e-6
    for gradient in torch.autograd.grad(first.square().sum(), list(twins.parameters())):
        assert gradient[0].abs().max() > 0
        assert not gradient[1].any()


def test_its_gradients_equal_finite_differences():
    twins, (privileged, action) = critic(width=8), inputs(3)
    parameters = [*twins.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)

    def values(action, *_):
        return twins(privileged, action)

    assert torch.autograd.gradcheck(values, (action.requires_grad_(True), *parameters))


def test_equal_generators_give_equal_critics():
    mine, same, other = critic(seed=3), critic(seed=3), critic(seed=4)
    assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), same.parameters(), strict=True))
    assert not torch.equal(mine.weights[0], other.weights[0])


def test_it_learns_a_function_of_state_and_action():
    twins, (privileged, action) = critic(width=32), inputs(256)
    wanted = privileged[:, 0] - action.square().sum(-1)
    optimiser = torch.optim.Adam(twins.parameters(), lr=1e-2)
    errors = []
    for _ in range(150):
        loss = (twins(privileged, action) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(loss.item())
    assert errors[-1] < 0.1 * np.var(wanted.numpy())


# --- the sizes of what a quadrotor's critic sees ---


def turned_about_the_vertical(privileged, angle):
    """The same states, the set-point's frame turned: position, R and velocity turn, body rates and rotors do not."""
    turn = torch.tensor([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    found = privileged.clone()
    found[..., 0:3] = privileged[..., 0:3] @ turn.T
    found[..., 3:12] = (turn @ privileged[..., 3:12].reshape(-1, 3, 3)).reshape(privileged[..., 3:12].shape)
    found[..., 12:15] = privileged[..., 12:15] @ turn.T
    return found


def test_the_sizes_do_not_depend_on_where_the_errors_point():
    observation, _ = Environment(airframe.load("crazyflie"), 64).reset(seed=3)
    privileged = torch.cat([torch.from_numpy(observation), torch.rand(64, 10)], 1)
    critic = TwinCritic(16, torch.Generator().manual_seed(0), CriticInputs(history=0, sizes=True))
    for weight in critic.weights[:1]:
        weight.data[:, :-4] = 0  # but for the sizes the critic is blind
    action = torch.zeros(64, 4)
    here, there = (critic(seen, action) for seen in (privileged, turned_about_the_vertical(privileged, 1.0)))
    torch.testing.assert_close(here, there)
    assert here.std(1).min() > 1e-3  # and it does see the states


def test_something_else_than_a_quadrotor_has_no_sizes():
    with pytest.raises(ValueError, match=r"sizes: found Widths\(observation=3.*wanted the observation of a quadrotor"):
        TwinCritic(16, torch.Generator(), CriticInputs(0, Widths(3, 1, 0, 0), sizes=True))
