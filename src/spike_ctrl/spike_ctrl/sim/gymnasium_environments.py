"""Environments from plain arguments: `make_env`, and what `gymnasium.make` and `gymnasium.make_vec` call."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from spike_ctrl import airframe as airframes
from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError, meant
from spike_ctrl.airframe import Airframe
from spike_ctrl.sim.environment import Environment, SingleEnvironment, Task
from spike_ctrl.sim.pipeline import Inserts
from spike_ctrl.sim.randomisation import InitialStates, Randomisation
from spike_ctrl.sim.reward import START, Coefficients
from spike_ctrl.sim.reward_terms import RewardTerm

UNLIMITED = 2**24  # steps, as far as a float32 counts: Gymnasium's own TimeLimit ends the episodes

if TYPE_CHECKING:
    from typing_extensions import TypedDict, Unpack

    class _Options(TypedDict, total=False):
        box: float
        episode_steps: int
        start: InitialStates | Mapping[str, Any]
        randomisation: Randomisation | Mapping[str, Any]
        reward: Coefficients | Mapping[str, Any]
        terms: Sequence[RewardTerm]
        inserts: Inserts | None


@overload
def make_env(
    airframe: str | Path | Airframe = ..., vehicles: None = None, **options: Unpack[_Options]
) -> SingleEnvironment: ...
@overload
def make_env(airframe: str | Path | Airframe, vehicles: int, **options: Unpack[_Options]) -> Environment: ...
@overload
def make_env(airframe: str | Path | Airframe = ..., *, vehicles: int, **options: Unpack[_Options]) -> Environment: ...
def make_env(
    airframe: str | Path | Airframe = "crazyflie",
    vehicles: int | None = None,
    *,
    box: float = 0.6,
    episode_steps: int = 500,
    start: InitialStates | Mapping[str, Any] = InitialStates(),
    randomisation: Randomisation | Mapping[str, Any] = Randomisation(),
    reward: Coefficients | Mapping[str, Any] = START,
    terms: Sequence[RewardTerm] = (),
    inserts: Inserts | None = None,
) -> Environment | SingleEnvironment:
    """The position task: fly to the set-point from a random start and stay there, without leaving the box.

    airframe: an `Airframe`, a name among config/airframes, or the path of a YAML file. vehicles: None for one vehicle as a
    `gymnasium.Env`, observations (18,) and actions (4,); a number N for a `gymnasium.vector.VectorEnv`, (N, 18) and (N, 4).
    box: its half-width, m. episode_steps: control steps of 10 ms. start, randomisation, reward: what differs from the
    defaults, by name: `reward={"position": 2}`, `randomisation={"mass": 0.2}`.

    A step earns survive - position |p|^2 - velocity |v|^2 - attitude |q|^2 - action |u - hover|^2, less weight times cost of
    each of the terms of your own. inserts: physics of your own by the name of their step, `{"wind": gust}`: see
    `Environment.insert`. Raises UsageError, a ValueError, for a wrong type, a number out of range or an unknown name.

    >>> make_env("crazyflie", vehicles=64).reset(seed=0)[0].shape
    (64, 18)
    """
    craft = airframes.load(airframe)
    if not ranges.inside(box, 0.1, 100):
        raise UsageError(f"box: found {box!r}, wanted 0.1 to 100 m")
    if not ranges.whole(episode_steps) or not 1 <= episode_steps <= UNLIMITED:
        raise UsageError(f"episode_steps: found {episode_steps!r}, wanted a whole number, 1 to {UNLIMITED}")
    if not isinstance(terms, Sequence) or not all(isinstance(term, RewardTerm) for term in terms):
        raise UsageError(f"terms: found {terms!r}, wanted a list, each a RewardTerm")
    begins = changed(InitialStates(), start, "start")
    task = Task(box, episode_steps, begins, changed(Randomisation(), randomisation, "randomisation"))
    weights = changed(START, reward, "reward")
    if vehicles is None:
        return SingleEnvironment(craft, task, weights, terms, inserts)
    return Environment(craft, vehicles, task, weights, terms, inserts)


def position(**options: Any) -> SingleEnvironment:
    """What `gymnasium.make` calls: one vehicle whose episodes Gymnasium's own TimeLimit ends. options: as of `make_env`."""
    refuse_episode_steps(options)
    return make_env(**options, vehicles=None, episode_steps=UNLIMITED)


def position_vector(num_envs: int, max_episode_steps: int, **options: Any) -> Environment:
    """What `gymnasium.make_vec` calls: one batched environment. options: as of `make_env`."""
    refuse_episode_steps(options)
    return make_env(**options, vehicles=num_envs, episode_steps=max_episode_steps)


def refuse_episode_steps(options: Mapping[str, Any]) -> None:
    """Raise TypeError for an option that `gymnasium.make` has under another name."""
    if "episode_steps" in options:
        raise TypeError("episode_steps: found in gymnasium.make, wanted Gymnasium's own name for it, max_episode_steps")


def changed(default: Any, given: Any, name: str) -> Any:
    """The default, a dataclass, with the fields that a mapping names, checked; or what is given as a whole.

    name: what errors call it. Raises UsageError, which is a ValueError.
    """
    if isinstance(given, type(default)):
        return given
    if not isinstance(given, Mapping):
        raise UsageError(f"{name}: found {given!r}, wanted a mapping of names to values, or {type(default).__name__}(...)")
    known = [field.name for field in dataclasses.fields(default)]
    for key in given:
        if key not in known:
            hint = meant(key, known) or f"; known: {', '.join(known)}"
            raise UsageError(f"{name}: unknown name '{key}'{hint}")
    blocks = {key: block for key in given if dataclasses.is_dataclass(block := getattr(default, key))}
    given = {**given, **{key: changed(block, given[key], f"{name}.{key}") for key, block in blocks.items()}}
    found = dataclasses.replace(default, **given)
    ranges.check(found, name)
    return found
