"""Networks of your own: what a module must have, how it is unrolled, averaged and flown."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl.learn import actor as actors
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.snn import network as networks
from spike_ctrl.snn.network_state import detach, restart
from spike_ctrl_networks import recipe_network
from spike_ctrl_networks.module_policy import ModulePolicy
from spike_ctrl_networks.state_parts import leaves

ALIF = NamedObject("examples.alif:ALIF", {"hidden": [16, 8]})
GRU = NamedObject("examples.gru:GRU", {"hidden": 16})
MLP = NamedObject("examples.mlp_history:MLPWithHistory", {"hidden": 16, "history": 4})
NETWORKS = [pytest.param(code, id=code.name.partition(":")[2]) for code in (ALIF, GRU, MLP)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network(code, seed=0):
    return recipe_network.make(code, 18, 4, generator(seed))


def flight(steps=6, batch=5, seed=1):
    return torch.randn(steps, batch, 18, generator=generator(seed))


# --- unrolling ---


@pytest.mark.parametrize("code", NETWORKS)
def test_unrolling_is_stepping(code):
    actor, seen = network(code), flight()
    actions, after, rates = actors.unroll(actor, seen, actor.initial_state(5), 3.0)
    state = actor.initial_state(5)
    for row, action in zip(seen, actions, strict=True):
        found, state = actor.step(row, state)
        assert torch.equal(found, action)
    assert all(map(torch.equal, leaves(after), leaves(state)))
    assert len(rates) == (2 if code is ALIF else 0)


@pytest.mark.parametrize("code", NETWORKS)
def test_equal_seeds_give_equal_networks_whatever_torch_drew_before(code):
    torch.manual_seed(0)
    first = networks.weights(network(code))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    second, other = networks.weights(network(code)), networks.weights(network(code, seed=1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_the_slope_of_a_module_follows_the_schedule_and_changes_its_gradient():
    found = []
    for slope in (1.0, 20.0):
        actor = network(ALIF)
        actors.unroll(actor, flight(), actor.initial_state(5), slope)[0].sum().backward()
        assert actor.slope == slope
        found.append(actor.layers[0].linear.weight.grad.clone())
    assert not torch.allclose(*found)


def test_averaging_moves_parameters_and_copies_buffers():
    class Counting(nn.Linear):
        def __init__(self):
            super().__init__(2, 2)
            self.register_buffer("count", torch.zeros((), dtype=torch.long))

    target, source = Counting(), Counting()
    source.count += 3
    before = target.weight.detach().clone()
    networks.average_(target, source, 0.25)
    torch.testing.assert_close(target.weight, before + 0.25 * (source.weight - before))
    assert target.count == 3


def test_rows_that_begin_anew_are_at_the_initial_state_and_the_others_go_on():
    actor = network(MLP)
    _, state = actor.step(flight()[0], actor.initial_state(5))
    after = restart(actor, state, torch.tensor([True, False, False, True, False]))
    assert not after[[0, 3]].any() and torch.equal(after[[1, 2, 4]], state[[1, 2, 4]])


def test_what_is_no_state_is_refused_by_its_type():
    with pytest.raises(TypeError, match="state: found dict, wanted a tensor or a tuple of states"):
        detach((torch.ones(1), {"hidden": torch.ones(1)}))


def test_weights_of_another_network_are_refused():
    weights = networks.weights(network(GRU))
    fresh = network(GRU, seed=1)
    networks.load_weights(fresh, weights)
    assert all(np.array_equal(weights[name], value) for name, value in networks.weights(fresh).items())
    with pytest.raises(ValueError, match=r"cell\.bias_hh: found shape \(3,\), wanted \(48,\)"):
        networks.load_weights(fresh, weights | {"cell.bias_hh": np.zeros(3)})
    with pytest.raises(ValueError, match="weights: found"):
        networks.load_weights(fresh, {})


# --- flying ---


@pytest.mark.parametrize("code", NETWORKS)
def test_a_module_flies_as_a_policy_for_one_vehicle_or_a_batch(code):
    policy, seen = ModulePolicy(network(code), 18, 4), flight().numpy()
    assert isinstance(policy, Policy) and (policy.inputs, policy.outputs) == (18, 4)
    batch, one = policy.initial_state(5), policy.initial_state()
    for row in seen:
        actions, batch = policy.step(row, batch)
        action, one = policy.step(row[2], one)
        assert actions.shape == (5, 4) and action.shape == (4,) and actions.dtype == np.float32
        np.testing.assert_allclose(action, actions[2], atol=1e-5)
    batch = policy.reset_rows(batch, np.array([False, True, False, False, False]))
    again, _ = policy.step(seen[0], batch)
    first, _ = policy.step(seen[0], policy.initial_state(5))
    np.testing.assert_array_equal(again[1], first[1])
    assert len(policy.spike_rates(batch)) == (2 if code is ALIF else 0)
    with pytest.raises(ValueError, match=r"observation: found shape \(5, 17\)"):
        policy.step(seen[0][:, :17], batch)


def test_a_policy_stays_as_it_is_while_its_module_learns_on():
    module = network(GRU)
    policy = ModulePolicy(module, 18, 4)
    before, _ = policy.step(np.ones(18), policy.initial_state())
    with torch.no_grad():
        module.readout.bias += 1
    np.testing.assert_array_equal(before, policy.step(np.ones(18), policy.initial_state())[0])


# --- what does not fit ---


class Base(nn.Module):
    def __init__(self, inputs, outputs, generator):
        super().__init__()
        self.outputs = outputs

    def initial_state(self, batch):
        return torch.zeros(batch, 2)

    def step(self, observation, state):
        return torch.zeros(len(observation), self.outputs), state


class NoStep(nn.Module):
    def __init__(self, inputs, outputs, generator):
        super().__init__()

    def initial_state(self, batch):
        return torch.zeros(batch, 2)


class OneResult(Base):
    def step(self, observation, state):
        return state


class Narrow(Base):
    def step(self, observation, state):
        return torch.zeros(len(observation), 3), state


class Loud(Base):
    def step(self, observation, state):
        return torch.full((len(observation), 4), 1.5), state


class Shared(Base):
    def initial_state(self, batch):
        return torch.zeros(2)


class Growing(Base):
    def step(self, observation, state):
        return super().step(observation, state)[0], (state, state)


class NoModule:
    def __init__(self, inputs, outputs, generator):
        pass


@pytest.mark.parametrize(
    "kind, message",
    [
        (NoStep, "without step, wanted the methods initial_state, step"),
        (OneResult, "step: found Tensor, wanted (action, state)"),
        (Narrow, "step: found an action (3, 3), wanted (3, 4)"),
        (Loud, "step: found an action beyond -1 to 1, wanted tanh"),
        (Shared, "found a state (2,), wanted (3, ...): one row for each vehicle"),
        (Growing, "step: found a state ('tuple', [(3, 2), (3, 2)]), wanted (3, 2) as it was before the step"),
        (NoModule, "that makes NoModule, wanted a torch.nn.Module"),
    ],
)
def test_a_module_that_does_not_fit_is_refused_before_the_training(kind, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "of_mine", SimpleNamespace(Mine=kind))
    with pytest.raises(UsageError) as error:
        recipe_network.make(NamedObject("of_mine:Mine"), 18, 4, generator())
    assert str(error.value).startswith("network: ") and message in str(error.value)
