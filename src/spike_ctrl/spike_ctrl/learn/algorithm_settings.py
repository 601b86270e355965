"""Constants of the algorithms, as recipes give them. Apart, for who flies by a recipe's guide needs no torch."""

import math
from dataclasses import dataclass

from spike_ctrl._files.ranges import setting, within
from spike_ctrl.learn.moving_setpoints import Moving
from spike_ctrl.learn.replay_buffer import HISTORY
from spike_ctrl.sim.dynamics import LANES

TILE = 2 * LANES  # vehicles of one call of the model gradient's kernel


@dataclass(frozen=True)
class TD3BCSettings:
    """Constants of the algorithm; see the recipes for their values and reasons."""

    gamma: float = within(0.99, 0.0, 1.0, "Discount per step.")
    td_lambda: float = within(0.0, 0.0, 1.0, "Lambda of the critic's targets; 0: one step.")
    tau: float = within(0.01, 1e-6, 1.0, "Rate at which the target networks follow.")
    alpha: float = within(2.0, 0.0, 1e3, "Weight of the critic's value in the actor's loss.")
    action_rate: float = within(0.0, 0.0, 1e3, "Weight of the action's squared change from step to step.", formerly="change")
    critic: str = setting("twin", "Two critics, or one that splits value and advantage.", choices=("twin", "advantage"))
    history: int = within(HISTORY, 0, HISTORY, "Actions in the critics' observation.", "steps")
    sizes: bool = setting(False, "Whether critics also see the sizes of position error, tilt, velocity and rates.")
    policy_noise: float = within(0.2, 0.0, 2.0, "Deviation of the noise on the target action of twin critics.")
    noise_clip: float = within(0.5, 0.0, 2.0, "Largest noise on the target action.")
    burn_in: int = within(50, 0, 1000, "Steps of a window that only warm the state up.", "steps")
    reward: str = setting(
        "floored",
        "What critics learn: floored, the shaped reward; shifted, reward_scale (r - reward_shift), crash_reward at a crash.",
        choices=("floored", "shifted"),
    )
    exponent: float = within(1.0, 0.05, 1.0, "Exponent of the shaped reward, see `reward_shaping`.", formerly="root")
    reward_scale: float = within(1.0, 1e-6, 1e6, "Factor of a shifted reward.")
    reward_shift: float = within(0.0, -1e12, 1e12, "Subtracted from a shifted reward; it can make it pay to crash.")
    crash_reward: float = within(0.0, -1e12, 1e12, "Shifted reward of a crash.")
    label: str = setting("buffer", "What the actor is held to: flown action, or the guide's.", choices=("buffer", "guide"))
    bc_own: float = within(1.0, 0.0, 1.0, "Weight of the label where the policy flew: it is its own action with noise.")
    bc_unit: str = setting(
        "one", "Unit of the label's error: one, or the label's deviation over the batch.", choices=("one", "deviation")
    )
    q_unit: str = setting(
        "mean", "Unit of the critic's value: mean of |Q|, as in the paper, or Q's deviation.", choices=("mean", "deviation")
    )
    gradient_clip: float = within(1.0, 1e-6, 1e6, "Largest norm of a gradient.")
    critic_updates: int = within(3, 0, 1000, "Updates of the critics per iteration.")
    actor_updates: int = within(2, 0, 1000, "Updates of the actor per iteration.")
    at_once: bool = setting(False, "Update critics and actor at once, on two cores; each sees the other as it was before.")
    bc: float = within(0.2, 0.0, 100.0, "Weight of the label's error at the start of the training.")
    bc_end: float = within(0.05, 0.0, 100.0, "Weight of the label's error at the end; it falls exponentially.")
    q_from: float = within(0.0, 0.0, 1.0, "Share of the training at which the critic's value begins to count.")
    q_full: float = within(0.0, 0.0, 1.0, "Share of the training from which the critic's value counts in full.")


@dataclass(frozen=True)
class PPOSettings:
    """Constants of the method; see the recipe for their values and reasons."""

    gamma: float = within(0.99, 0.0, 1.0, "Discount per step.")
    exponent: float = within(1.0, 0.05, 1.0, "Exponent of the shaped reward, see `reward_shaping`.", formerly="root")
    gae: float = within(0.95, 0.0, 1.0, "Lambda of the advantages.")
    deviation: float = within(0.5, 1e-3, 10.0, "Deviation of the exploration at the start.")
    deviation_end: float = within(0.0, 0.0, 10.0, "Deviation at the end, reached by equal factors; 0: it is learned.")
    clip: float = within(0.3, 0.0, 1.0, "Largest relative change of the probability of an action in one iteration.")
    epochs: int = within(3, 1, 100, "Passes over the flight.")
    sequences: int = within(128, 1, 100_000, "Vehicles in one minibatch.")


@dataclass(frozen=True)
class DaggerSettings:
    """Constants of the method; see the recipe for their values and reasons."""

    gamma: float = within(0.99, 0.0, 0.9999, "Discount per step.")
    exponent: float = within(0.5, 0.05, 1.0, "Exponent of the shaped reward, see `reward_shaping`.", formerly="root")
    td_lambda: float = within(0.95, 0.0, 1.0, "Lambda of the critic's targets.")
    critic_rate: float = within(1e-3, 1e-7, 1.0, "Learning rate of the critic.")
    least_importance: float = within(0.02, 0.0, 1.0, "Weight of a state where nothing can be lost.", formerly="least_stake")
    epochs: int = within(2, 1, 100, "Passes over the flight.")
    sequences: int = within(64, 1, 100_000, "Vehicles in one minibatch.")


@dataclass(frozen=True)
class BPTTSettings:
    """Constants of the method; see the recipes for their values and reasons."""

    updates: int = within(4, 1, 1000, "Updates per iteration.")
    vehicles: int = within(64, TILE, 8192, f"Vehicles per update, a multiple of {TILE}.")
    pool: int = within(512, TILE, 65536, "Vehicles that take turns.")
    segment: int = within(100, 2, 1000, "Steps of flight through which the gradient goes.", "steps")
    shadow: float = within(0.0, 0.0, 1.0, "Share of the episodes that begin with a hand-over, see `shadow_start`.")
    episode_segments: int = within(2, 1, 1000, "Segments of an episode.")
    box: float = within(4.0, 0.1, 100.0, "Who is outside at the end of a segment starts anew.", "m")
    noise: float = within(0.02, 0.0, 2.0, "Deviation of the noise on the actions.")
    position: float = within(1.0, 0.0, 100.0, "Factor on the reward's weight of the position.")
    far: float = within(100.0, 0.01, 100.0, "Distance from which on the cost of the position is linear.", "m")
    boundary: float = within(2.0, 0.0, 1e3, "Weight of the squared distance beyond `boundary_at` per axis.", formerly="wall")
    boundary_at: float = within(0.9, 0.0, 100.0, "See `boundary`.", "m", formerly="wall_at")
    speed: float = within(0.0, 0.0, 1e3, "Weight of the squared velocity beyond `speed_at`.", formerly="haste")
    speed_at: float = within(2.5, 0.0, 100.0, "See `speed`.", "m/s", formerly="haste_at")
    tilt: float = within(0.0, 0.0, 1e3, "Weight of the squared tilt beyond `tilt_at`, as a cosine.", formerly="lean")
    tilt_at: float = within(0.6, 0.0, math.pi, "See `tilt`.", "rad", formerly="lean_at")
    body_rate: float = within(0.0, 0.0, 1e3, "Weight of the squared body rates beyond `body_rate_at`.", formerly="spin")
    body_rate_at: float = within(8.0, 0.0, 100.0, "See `body_rate`.", "rad/s", formerly="spin_at")
    action_rate: float = within(0.3, 0.0, 1e3, "Weight of the command's squared change per step.", formerly="change")
    decay: float = within(0.98, 0.0, 1.0, "Factor on the state's gradient per step.")
    limit: float = within(1e6, 1e-3, 1e9, "Largest norm of the state's gradient, vehicle by vehicle.")
    gradient_clip: float = within(1.0, 1e-6, 1e6, "Largest norm of the gradient of the weights.")
    set_point: Moving = Moving()
