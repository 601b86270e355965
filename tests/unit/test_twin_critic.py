"""The twin critics: two networks side by side that know nothing of each other."""

import numpy as np
import pytest
import torch
from torch.nn.functional import layer_norm

from spike_ctrl.learn.critics import RATES_SCALE, VELOCITY_SCALE, TwinCritic
from spike_ctrl.learn.replay_buffer import privileged_size


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
