"""The blocks of a recipe that belong to no algorithm: task, network, jump start, replay, schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from spike_ctrl._files import named_object
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl._files.ranges import require, within
from spike_ctrl.sim import floored_reward
from spike_ctrl.sim.airframe_sampler import AirframeRanges
from spike_ctrl.sim.floored_reward import FlooredReward
from spike_ctrl.sim.observation import SIZE as OBSERVATION_SIZE
from spike_ctrl.sim.pipeline import InsertFunction
from spike_ctrl.sim.randomisation import Randomisation, Start
from spike_ctrl.sim.reward import CURRICULUM_STEPS, Coefficients, curriculum
from spike_ctrl.sim.reward_terms import RewardTerm


class RecipeError(ValueError):
    """A recipe that cannot be used; one line that names file, key, found and wanted."""


@dataclass(frozen=True)
class TermSettings:
    """A reward term of your own: the name of its function, see `RewardTerm`, and its weight."""

    function: str
    weight: float = field(metadata={"low": -1e6, "high": 1e6})


@dataclass(frozen=True)
class TaskSettings:
    """Training episodes. The evaluation has its own, frozen ones.

    reward: "start", "end" or "curriculum" of the paper's weights, or weights of your own. terms: costs of your own.
    airframes: whole airframes are drawn, see `AirframeRanges`; their arms and battery are those of the run's airframe.
    insert: physics of your own by the name of their step, see `Environment.insert`.
    """

    box: float = within(0.6, 0.1, 100.0)
    episode_steps: int = within(500, 10, 100_000)
    reward: str | Coefficients = "curriculum"
    start: Start = Start()
    randomisation: Randomisation = Randomisation()
    terms: dict[str, TermSettings] = field(default_factory=dict)
    airframes: AirframeRanges | None = None
    insert: dict[str, tuple[NamedObject, ...]] = field(default_factory=dict)

    def stage(self, progress: float) -> float:
        """Progress of the reward curriculum at this progress of the training."""
        return {"start": 0.0, "end": 1.0, "curriculum": progress}[self.reward] if isinstance(self.reward, str) else 0.0

    def coefficients(self, stage: float) -> Coefficients:
        """The weights of the reward at this progress of its curriculum."""
        return curriculum(stage) if isinstance(self.reward, str) else self.reward

    def floored(self, hover: float, root: float = 1.0) -> FlooredReward:
        """What a method is to learn of the reward, at any stage of its curriculum. hover: u that hovers.

        root: see `floored_reward`. Raises RecipeError.
        """
        stages = {self.coefficients(self.stage(progress)) for progress in np.linspace(0, 1, CURRICULUM_STEPS)}
        try:
            return floored_reward.derive(stages, self.box, hover, self.reward_terms(), root)
        except ValueError as error:
            raise RecipeError(f"task.reward: {error}") from None

    def reward_terms(self) -> tuple[RewardTerm, ...]:
        """The terms of your own, with the functions that their names stand for. Raises RecipeError."""
        return tuple(
            RewardTerm(name, named_object.find(term.function, f"task.terms.{name}.function", RecipeError), term.weight)
            for name, term in self.terms.items()
        )

    def inserts(self) -> dict[str, tuple[InsertFunction, ...]]:
        """The functions that are inserted, by their step. Raises RecipeError."""
        return {
            step: tuple(code.function(f"task.insert.{step}", RecipeError) for code in several)
            for step, several in self.insert.items()
        }

    def inserted_physics(self) -> dict[str, tuple[InsertFunction, ...]]:
        """`inserts` without those of the reward, for flights that are scored by a fixed one."""
        return {step: several for step, several in self.inserts().items() if step != "reward"}

    def require_no_inserts(self, who: str) -> None:
        """Raise RecipeError where something is inserted. who: what flies without it."""
        if self.insert:
            found = ", ".join(f"{step}: {', '.join(map(str, several))}" for step, several in self.insert.items())
            raise RecipeError(f"task.insert: found {found}, wanted none for {who}")


@dataclass(frozen=True)
class NetworkSettings:
    """Hidden widths, neurons (see `Neuron`) and surrogate slope of the spiking network.

    voltage: its observation ends with the battery's voltage, see `policy.voltage_input`. With `code` the network is a module
    of your own; then only voltage and slope count, the slope where the module has one.
    """

    hidden: tuple[int, ...] = (256, 128)
    reset: str = field(default="soft", metadata={"choices": ("soft", "hard")})
    detach_reset: bool = False
    recurrent: bool = False
    voltage: bool = False
    slope: dict = field(default_factory=lambda: {"kind": "adaptive"})
    code: NamedObject | None = None

    @property
    def inputs(self) -> int:
        """Numbers in an observation."""
        return OBSERVATION_SIZE + self.voltage


@dataclass(frozen=True)
class LearnedGuide:
    """A guide that another recipe trains first, for so many environment steps of so many vehicles at once."""

    recipe: str
    steps: int = within(5_000_000, 1000, 10_000_000_000)
    vehicles: int = within(256, 1, 8192)


@dataclass(frozen=True)
class JumpStartSettings:
    """The guide's share: `horizon` steps at the start of an episode, falling to `rest` at the share `until` of training.

    noise: deviation of the policy's actions; at the end of the training the share `noise_left` of it. noise_time (s): how
    long it lasts, as a correlation time; 0 is white noise. noise_spread: each episode draws its share of the noise.
    """

    horizon: int = within(500, 0, 100_000)
    rest: int = within(50, 0, 100_000)
    until: float = within(1.0, 0.0, 1.0)
    spread: bool = False
    noise: float = within(0.1, 0.0, 2.0)
    noise_left: float = within(1.0, 0.0, 1.0)
    noise_time: float = within(0.0, 0.0, 100.0)
    noise_spread: bool = False

    def memory(self, rate_hz: float = 100.0) -> float:
        """Correlation of the noise from one step to the next."""
        return math.exp(-1 / (rate_hz * self.noise_time)) if self.noise_time else 0.0


@dataclass(frozen=True)
class ReplaySettings:
    """Buffer (vehicle-steps), windows (steps) and their number per update of critics and actor."""

    capacity: int = within(2_000_000, 4096, 100_000_000)
    window: int = within(100, 2, 1000)
    critic_batch: int = within(64, 1, 4096)
    actor_batch: int = within(64, 1, 4096)


RUN_LIMITS = {"vehicles": (1, 8192), "seed": (0, 2**32 - 1)}


@dataclass(frozen=True)
class ScheduleSettings:
    """An iteration is `iteration_steps` vehicle-steps; the rest says what happens in each, and what decays over the run.

    hover_trim: at the end the policy is shifted by how far it hovers beside the set-point, see `evaluation.hover_trim`.
    """

    steps: int = within(5_000_000, 1000, 10_000_000_000)
    iteration_steps: int = within(4096, 16, 1_000_000)
    learning_rate: float = within(1e-3, 1e-7, 1.0)
    learning_rate_end: float = within(1e-3, 1e-7, 1.0)
    averaging: float = within(0.005, 1e-5, 1.0)
    evaluations: int = within(20, 1, 1000)
    hover_trim: bool = False


def require_run(vehicles: int, steps: int, seed: int, prefix: str = "") -> None:
    """Raise ValueError for what no run can have. steps: 0 for the recipe's. prefix: what users write before a name."""
    require({"vehicles": vehicles, "seed": seed}, RUN_LIMITS, prefix)
    limits = ScheduleSettings.__dataclass_fields__["steps"].metadata
    if steps and not limits["low"] <= steps <= limits["high"]:
        raise ValueError(f"{prefix}steps: found {steps}, wanted 0 or {limits['low']} to {limits['high']}")
