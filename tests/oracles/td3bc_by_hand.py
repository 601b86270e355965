"""What the tests of TD3BC share: a small algorithm, samples of sequences, and networks whose answers are known by hand."""

import numpy as np
import torch
from torch import nn

from spike_ctrl.learn.algorithm_settings import TD3BCSettings as Settings
from spike_ctrl.learn.critics import TwinCritic
from spike_ctrl.learn.replay_buffer import Sequences, privileged_size
from spike_ctrl.learn.td3bc import TD3BC
from spike_ctrl.snn.network import SpikingNetwork

SLOPE = 2.0


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def algorithm(seed=0, rate=1e-3, **settings):
    actor = SpikingNetwork((18, 24, 16, 4), generator=generator(seed))
    return TD3BC(
        actor, TwinCritic(16, generator(seed + 1)), Settings(**{"burn_in": 0, "reward": "shifted"} | settings), rate
    )


def sequences(length=6, batch=3, seed=0, **fields):
    """A sample of random numbers, all of it inside episodes that began before the windows."""
    rng = np.random.default_rng(seed)
    observation = rng.normal(size=(length + 1, batch, 18)).astype(np.float32)
    rest = rng.normal(size=(length + 1, batch, privileged_size() - 18)).astype(np.float32)
    action, guide_action = rng.uniform(-1, 1, (2, length, batch, 4)).astype(np.float32)
    return Sequences(
        observation=observation,
        privileged=np.concatenate([observation, rest], axis=2),
        action=action,
        guide_action=guide_action,
        reward=rng.normal(size=(length, batch)).astype(np.float32),
        terminated=np.zeros((length, batch), bool),
        by_guide=np.zeros((length, batch), bool),
        mask=np.ones((length, batch), bool),
        age=np.full(batch, 100),
    )._replace(**fields)


class Constant(nn.Module):
    """An actor with one output for all observations."""

    def __init__(self, action):
        super().__init__()
        self.action = torch.tensor(action)

    def initial_state(self, batch):
        return ()

    def unroll(self, observation, state, slope):
        return self.action.expand(*observation.shape[:2], 4), (), ()


class Linear(nn.Module):
    """Q_j = j-th weights on the first observation number and the sum of the actions."""

    def __init__(self, *weights):
        super().__init__()
        self.weights = weights

    def forward(self, privileged, action, members=2):
        return torch.stack([x * privileged[..., 0] + a * action.sum(-1) for x, a in self.weights[:members]])


def window(terminated=(), mask=(True, True, True)):
    """One window of three steps: states 10, 20, 30, 40, rewards 1, 2, 3, actions that must not matter."""
    sample = sequences(3, 1, mask=np.array(mask)[:, None], action=np.full((3, 1, 4), -1, np.float32))
    sample.privileged[:, 0, 0] = [10, 20, 30, 40]
    sample.reward[:, 0] = [1, 2, 3]
    for step in terminated:
        sample.terminated[step] = True
    return sample
