"""The blocks of a recipe that belong to no algorithm: task, network, jump start, replay, schedule."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from spike_ctrl._files import named_object, settings
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl._files.ranges import require, setting, whole, within
from spike_ctrl.sim import airframe_sampler, reward_shaping
from spike_ctrl.sim.airframe_sampler import AirframeRanges
from spike_ctrl.sim.observation import SIZE as OBSERVATION_SIZE
from spike_ctrl.sim.pipeline import CHANGES, InsertFunction, require_step
from spike_ctrl.sim.randomisation import InitialStates, Randomisation
from spike_ctrl.sim.reward import CURRICULUM_STEPS, TERMS, Coefficients, curriculum
from spike_ctrl.sim.reward_shaping import ShapedReward
from spike_ctrl.sim.reward_terms import RewardTerm
from spike_ctrl.snn import slope_schedule

STAGES = ("start", "end", "curriculum")
MOVED = {
    "spike_ctrl.learn.dense_network:DenseNetwork": "spike_ctrl_networks.dense_network:DenseNetwork",
    "spike_ctrl.control.indi_guide:IndiGuide": "spike_ctrl_benchmark.indi_guide:IndiGuide",
}
"""Code of this project by the names that earlier recipes give it."""


def _function(value: object, source: str, key: str) -> str:
    if not named_object.is_name(value):
        raise UsageError(f"{source}: {key}: found {value!r}, wanted module:name of a function")
    return str(value)


@dataclass(frozen=True)
class TermSettings:
    """A reward term of your own."""

    function: str = setting(description="Its module:name.", read=_function, schema=settings.any_of(named_object.SCHEMA))
    weight: float = setting(description="Its weight.", low=-1e6, high=1e6)


def _reward(value: object, source: str, key: str) -> str | Coefficients:
    if isinstance(value, dict):
        return settings.convert(Coefficients, value, source, f"{key}.")
    if value not in STAGES:
        wanted = ", ".join(known.name for known in fields(Coefficients))
        raise UsageError(f"{source}: {key}: found {value!r}, wanted one of {', '.join(STAGES)} or weights of {wanted}")
    return str(value)


def _terms(value: object, source: str, key: str) -> dict[str, TermSettings]:
    if not isinstance(value, dict):
        raise UsageError(f"{source}: {key}: found {settings.kind_of(value)}, wanted a mapping of names to terms")
    for name in value:
        if not str(name).isidentifier() or name in (*TERMS, "survive"):
            raise UsageError(f"{source}: {key}: found a term {name!r}, wanted a word that no term of the paper has")
    return {name: settings.convert(TermSettings, term, source, f"{key}.{name}.") for name, term in value.items()}


def code_of(value: object, source: str, key: str, kind: str = "class") -> NamedObject | None:
    """What `module:Name` or `{class: module:Name, ...}` stand for, None for anything else. kind: class or function."""
    if named_object.is_name(value):
        return NamedObject(MOVED.get(str(value), str(value)))
    if not isinstance(value, dict) or kind not in value:
        return None
    if not named_object.is_name(value[kind]):
        raise UsageError(f"{source}: {key}.{kind}: found {value[kind]!r}, wanted module:Name")
    arguments = {name: item for name, item in value.items() if name != kind}
    for name in arguments:
        if not str(name).isidentifier():
            raise UsageError(f"{source}: {key}: found an argument {name!r}, wanted the name of one of {value[kind]}")
    return NamedObject(MOVED.get(str(value[kind]), str(value[kind])), arguments)


def _inserts(value: object, source: str, key: str) -> dict[str, tuple[NamedObject, ...]]:
    if not isinstance(value, dict):
        raise UsageError(f"{source}: {key}: found {settings.kind_of(value)}, wanted a mapping of steps to functions")
    found: dict[str, tuple[NamedObject, ...]] = {}
    for step, functions in value.items():
        require_step(step, f"{source}: {key}")
        several = functions if isinstance(functions, list) else [functions]
        place, wanted = f"{key}.{step}", "module:name, {function: module:name, ...} with its arguments, or a list of them"
        named = [code_of(one, source, place, "function") or code_of(one, source, place) for one in several]
        if None in named:
            raise UsageError(f"{source}: {place}: found {functions!r}, wanted {wanted}")
        found[step] = tuple(one for one in named if one is not None)
    return found


def _inserts_schema() -> dict[str, Any]:
    one = {"anyOf": [*named_object.SCHEMAS, {"type": "object", "required": ["function"]}]}
    several = {"anyOf": [one, {"type": "array", "items": one}]}
    steps = {step: several | {"description": f"Functions at the step {step}: docs/insert.md."} for step in CHANGES}
    return {"type": "object", "properties": steps, "additionalProperties": False}


_REWARD = settings.any_of({"enum": list(STAGES)}, Coefficients)


def _terms_schema() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": settings.schema(TermSettings)}


@dataclass(frozen=True)
class TaskSettings:
    """Training episodes. The evaluation has its own, frozen ones."""

    box: float = within(0.6, 0.1, 100.0, "Largest distance from the set-point on each axis; outside is a crash.", "m")
    episode_steps: int = within(500, 10, 100_000, "Longest episode.", "steps")
    reward: str | Coefficients = setting(
        "curriculum", "Weights: of the paper's curriculum, its start or end, or your own.", read=_reward, schema=_REWARD
    )
    start: InitialStates = setting(InitialStates(), "How an episode starts.")
    randomisation: Randomisation = setting(Randomisation(), "What differs from the airframe in each episode.")
    terms: dict[str, TermSettings] = setting(dict, "Costs of your own, by name.", read=_terms, schema=_terms_schema)
    airframes: AirframeRanges | None = setting(
        None,
        "Ranges of whole airframes; arms and battery are those of the run's airframe.",
        read=lambda value, source, key: airframe_sampler.from_dict(value, f"{source}: {key}"),
    )
    insert: dict[str, tuple[NamedObject, ...]] = setting(
        dict,
        "Physics of your own by the name of their step, see `Environment.insert`.",
        read=_inserts,
        schema=_inserts_schema,
    )

    def stage(self, progress: float) -> float:
        """Progress of the reward curriculum at this progress of the training."""
        return {"start": 0.0, "end": 1.0, "curriculum": progress}[self.reward] if isinstance(self.reward, str) else 0.0

    def coefficients(self, stage: float) -> Coefficients:
        """The weights of the reward at this progress of its curriculum."""
        return curriculum(stage) if isinstance(self.reward, str) else self.reward

    def floored(self, hover: float, exponent: float = 1.0) -> ShapedReward:
        """What a method learns of the reward at any stage, see `reward_shaping`. hover: u that hovers. Raises UsageError."""
        stages = {self.coefficients(self.stage(progress)) for progress in np.linspace(0, 1, CURRICULUM_STEPS)}
        terms = self.reward_terms()
        try:
            return reward_shaping.derive(stages, self.box, hover, terms, exponent)
        except ValueError as error:
            raise UsageError(f"task.reward: {error}") from None

    def reward_terms(self) -> tuple[RewardTerm, ...]:
        """The terms of your own, with the functions that their names stand for. Raises UsageError."""
        return tuple(
            RewardTerm(name, named_object.find(term.function, f"task.terms.{name}.function"), term.weight)
            for name, term in self.terms.items()
        )

    def inserts(self) -> dict[str, tuple[InsertFunction, ...]]:
        """The functions that are inserted, by their step. Raises UsageError."""
        return {
            step: tuple(code.function(f"task.insert.{step}") for code in several) for step, several in self.insert.items()
        }

    def inserted_physics(self) -> dict[str, tuple[InsertFunction, ...]]:
        """`inserts` without those of the reward, for flights that are scored by a fixed one."""
        return {step: several for step, several in self.inserts().items() if step != "reward"}

    def require_no_inserts(self, who: str) -> None:
        """Raise UsageError where something is inserted. who: what flies without it."""
        if self.insert:
            found = ", ".join(f"{step}: {', '.join(map(str, several))}" for step, several in self.insert.items())
            raise UsageError(f"task.insert: found {found}, wanted none for {who}")


def _slope(value: object, source: str, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{source}: {key}: found {value!r}, wanted a mapping")
    try:
        slope_schedule.from_config(value)
    except ValueError as error:
        raise UsageError(f"{source}: {key.removesuffix('slope')}{error}") from None
    return value


@dataclass(frozen=True)
class NetworkSettings:
    """The spiking network. With `code` it is a module of your own; then only voltage and slope count."""

    hidden: tuple[int, ...] = setting(
        (256, 128), "Hidden widths.", low=1, high=4096, length=(1, None), wanted="a list of whole numbers from 1 to 4096"
    )
    reset: str = setting("soft", "What a spike does to the membrane, see `Neuron`.", choices=("soft", "hard"))
    detach_reset: bool = setting(False, "Whether no gradient flows through the reset.")
    recurrent: bool = setting(False, "Whether the last hidden layer receives its own spikes of the step before.")
    voltage: bool = setting(False, "Whether the observation ends with the battery's voltage, see `policy.voltage_input`.")
    slope: dict[str, Any] = setting(
        lambda: {"kind": "adaptive"}, "Schedule of the surrogate slope.", read=_slope, schema=slope_schedule.schema
    )
    code: NamedObject | None = setting(None, unwritten=True)

    @property
    def inputs(self) -> int:
        """Numbers in an observation."""
        return OBSERVATION_SIZE + self.voltage


@dataclass(frozen=True)
class LearnedGuide:
    """A guide that another recipe trains first."""

    recipe: str = setting(description="Name or path of that recipe.")
    steps: int = within(5_000_000, 1000, 10_000_000_000, "Environment steps of its training.", "steps")
    vehicles: int = within(256, 1, 8192, "Vehicles that fly at once.")


@dataclass(frozen=True)
class JumpStartSettings:
    """How much of an episode the guide flies, and how the policy explores."""

    horizon: int = within(500, 0, 100_000, "Steps that the guide flies first, at the start of the training.", "steps")
    rest: int = within(50, 0, 100_000, "Steps that the guide flies from the share `until` on.", "steps")
    until: float = within(1.0, 0.0, 1.0, "Share of the training from which the guide flies `rest` steps.")
    spread: bool = setting(False, "Whether each episode draws its share of these steps.")
    noise: float = within(0.1, 0.0, 2.0, "Deviation of the noise on the policy's actions.")
    noise_left: float = within(1.0, 0.0, 1.0, "Share of that deviation at the end of the training.")
    noise_time: float = within(0.0, 0.0, 100.0, "Correlation time of the noise; 0: white.", "s")
    noise_spread: bool = setting(False, "Whether each episode draws its share of the noise.")


@dataclass(frozen=True)
class ReplaySettings:
    """The replay buffer, and what each update draws from it."""

    capacity: int = within(2_000_000, 4096, 100_000_000, "Vehicle-steps in the buffer.", "steps")
    window: int = within(100, 2, 1000, "Length of a window.", "steps")
    critic_batch: int = within(64, 1, 4096, "Windows per update of the critics.")
    actor_batch: int = within(64, 1, 4096, "Windows per update of the actor.")


RUN_LIMITS = {"vehicles": (1, 8192), "seed": (0, 2**32 - 1)}


@dataclass(frozen=True)
class ScheduleSettings:
    """How long the training takes, and what changes over it."""

    steps: int = within(5_000_000, 1000, 10_000_000_000, "Vehicle-steps of the training.", "steps")
    iteration_steps: int = within(4096, 16, 1_000_000, "Vehicle-steps of an iteration.", "steps")
    learning_rate: float = within(1e-3, 1e-7, 1.0, "Learning rate at the start.")
    learning_rate_end: float = within(1e-3, 1e-7, 1.0, "Learning rate at the end.")
    averaging: float = within(0.005, 1e-5, 1.0, "Rate at which the averaged weights follow.")
    evaluations: int = within(20, 1, 1000, "Evaluations during the training.")
    hover_trim: bool = setting(False, "Whether the policy's steady hover offset is removed at the end.")


def require_run(vehicles: int, steps: int, seed: int, prefix: str = "") -> None:
    """Raise UsageError for what no run can have. steps: 0 for the recipe's. prefix: what users write before a name."""
    for name, value in {"vehicles": vehicles, "steps": steps, "seed": seed}.items():
        if not whole(value):
            raise UsageError(f"{prefix}{name}: found {value!r}, wanted a whole number")
    require({"vehicles": vehicles, "seed": seed}, RUN_LIMITS, prefix)
    limits = ScheduleSettings.__dataclass_fields__["steps"].metadata
    if steps and not limits["low"] <= steps <= limits["high"]:
        raise UsageError(f"{prefix}steps: found {steps}, wanted 0 or {limits['low']} to {limits['high']}")
