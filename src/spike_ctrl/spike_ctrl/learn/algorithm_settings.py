"""Constants of the algorithms, as recipes give them. Apart, for who flies by a recipe's guide needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from spike_ctrl._files.ranges import within
from spike_ctrl.learn.moving_setpoints import Moving
from spike_ctrl.learn.replay_buffer import HISTORY
from spike_ctrl.sim.dynamics import LANES

TILE = 2 * LANES  # vehicles of one call of the model gradient's kernel


@dataclass(frozen=True)
class TD3BCSettings:
    """Constants of the algorithm; see the recipes for their values and reasons."""

    gamma: float = within(0.99, 0.0, 1.0)
    td_lambda: float = within(0.0, 0.0, 1.0)
    tau: float = within(0.01, 1e-6, 1.0)  # rate of the target networks
    alpha: float = within(2.0, 0.0, 1e3)
    change: float = within(0.0, 0.0, 1e3)  # cost of the action's squared change from step to step
    critic: str = field(default="twin", metadata={"choices": ("twin", "advantage")})
    history: int = within(HISTORY, 0, HISTORY)  # actions in the privileged observation
    sizes: bool = False  # the critics also see how large position error, tilt, velocity and rates are
    policy_noise: float = within(0.2, 0.0, 2.0)  # of the target action, which twin critics ask for
    noise_clip: float = within(0.5, 0.0, 2.0)
    burn_in: int = within(50, 0, 1000)
    # What the critics learn. floored: see `floored_reward`, with this root; the rest follows from the task. shifted:
    # reward_scale (r - reward_shift), and crash_reward at a crash; such numbers can make it pay to crash.
    reward: str = field(default="floored", metadata={"choices": ("floored", "shifted")})
    root: float = within(1.0, 0.05, 1.0)
    reward_scale: float = within(1.0, 1e-6, 1e6)
    reward_shift: float = 0.0
    crash_reward: float = 0.0
    # What the actor is held to: the action in the buffer or the guide's. bc_own: weight of the former where the policy
    # flew itself, for there it is the policy's own action with noise; 1 where the guide flew.
    label: str = field(default="buffer", metadata={"choices": ("buffer", "guide")})
    bc_own: float = within(1.0, 0.0, 1.0)
    # The unit of the label's error: one, or the label's own spread over the batch, in which a loss of 1 explains nothing.
    # Recorded motors differ from each other by much less than they change together.
    bc_unit: str = field(default="one", metadata={"choices": ("one", "deviation")})
    # The unit in which the critic's opinion is weighed: the mean of |Q|, as in the paper, or the deviation of Q over the
    # batch, which does not change when the reward is shifted.
    q_unit: str = field(default="mean", metadata={"choices": ("mean", "deviation")})
    gradient_clip: float = within(1.0, 1e-6, 1e6)
    # Per iteration of the learner, and what changes over the run: the weight of the label by equal factors from bc to
    # bc_end; that of the critic's opinion from 0 at the share q_from of training to its full value at q_full.
    critic_updates: int = within(3, 0, 1000)
    actor_updates: int = within(2, 0, 1000)
    bc: float = within(0.2, 0.0, 100.0)
    bc_end: float = within(0.05, 0.0, 100.0)
    q_from: float = within(0.0, 0.0, 1.0)
    q_full: float = within(0.0, 0.0, 1.0)


@dataclass(frozen=True)
class PPOSettings:
    """Constants of the method; see the recipe for their values and reasons."""

    gamma: float = within(0.99, 0.0, 1.0)
    root: float = within(1.0, 0.05, 1.0)  # of the reward, see `floored_reward`
    gae: float = within(0.95, 0.0, 1.0)  # lambda of the advantages
    deviation: float = within(0.5, 1e-3, 10.0)  # of the exploration, at the start
    deviation_end: float = within(0.0, 0.0, 10.0)  # to which it falls by equal factors; 0: it is learned instead
    clip: float = within(0.3, 0.0, 1.0)  # how far the probability of an action may move in one iteration
    epochs: int = within(3, 1, 100)  # passes over the flight
    sequences: int = within(128, 1, 100_000)  # of one minibatch: so many vehicles


@dataclass(frozen=True)
class DistillationSettings:
    """Constants of the method; see the recipe for their values and reasons."""

    gamma: float = within(0.99, 0.0, 0.9999)
    root: float = within(0.5, 0.05, 1.0)  # of the reward, see `floored_reward`
    td_lambda: float = within(0.95, 0.0, 1.0)  # of the critic's targets
    critic_rate: float = within(1e-3, 1e-7, 1.0)  # the critic's learning rate
    least_stake: float = within(0.02, 0.0, 1.0)  # the weight of a state in which nothing can be lost
    epochs: int = within(2, 1, 100)  # passes over the flight
    sequences: int = within(64, 1, 100_000)  # of one minibatch: so many vehicles


@dataclass(frozen=True)
class ModelGradientSettings:
    """Constants of the method; see the recipes for their values and reasons."""

    updates: int = within(4, 1, 1000)  # per iteration
    vehicles: int = within(64, TILE, 8192)  # per update, in multiples of TILE
    pool: int = within(512, TILE, 65536)  # vehicles that take turns
    segment: int = within(100, 2, 1000)  # steps
    shadow: float = within(0.0, 0.0, 1.0)  # share of the episodes that begin with a hand-over: see `shadow_start`
    episode_segments: int = within(2, 1, 1000)
    box: float = within(4.0, 0.1, 100.0)  # m; who is outside at the end of a segment starts anew
    noise: float = within(0.02, 0.0, 2.0)
    position: float = within(1.0, 0.0, 100.0)  # factor on the reward's weight of the position
    far: float = within(100.0, 0.01, 100.0)  # m
    wall: float = within(2.0, 0.0, 1e3)
    wall_at: float = within(0.9, 0.0, 100.0)  # m
    haste: float = within(0.0, 0.0, 1e3)
    haste_at: float = within(2.5, 0.0, 100.0)  # m/s
    lean: float = within(0.0, 0.0, 1e3)
    lean_at: float = within(0.6, 0.0, math.pi)  # rad
    spin: float = within(0.0, 0.0, 1e3)
    spin_at: float = within(8.0, 0.0, 100.0)  # rad/s
    change: float = within(0.3, 0.0, 1e3)
    decay: float = within(0.98, 0.0, 1.0)  # of the state's gradient, per step
    limit: float = within(1e6, 1e-3, 1e9)  # of its norm, vehicle by vehicle
    gradient_clip: float = within(1.0, 1e-6, 1e6)
    set_point: Moving = Moving()
