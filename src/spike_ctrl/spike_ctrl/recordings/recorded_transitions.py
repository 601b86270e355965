"""Transitions to learn from, read from bags. The steps of all vehicles are joined into the rows of one vehicle.

A bag of sim_train holds transitions. A bag of a flight holds states and commands: the reward is recomputed from them, rotor
speeds and disturbance are unknown, and only the steps that policy or guide flew in the air count. Of an imported flight all
steps in the air count; the controller that flew them takes the place of the guide, and its actions that of the label. A
missing tick ends a sequence: nothing is learned across it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.replay_buffer import HISTORY, Rows, SequenceBuffer, finite
from spike_ctrl.policy import checkpoint
from spike_ctrl.recordings import BagError, bag_origin
from spike_ctrl.recordings.reader import read
from spike_ctrl.recordings.recording import GUIDE_FLEW, OTHER_FLEW, POLICY_FLEW, Applied, Recording
from spike_ctrl.sim import action_mapping
from spike_ctrl.sim.episode_flags import FIRST, GUIDE
from spike_ctrl.sim.reward import Coefficients, reward

TOPICS = ("state", "transition", "command", "policy/action", "guide/action", "policy/checkpoint", "origin")


class Recorded(NamedTuple):
    """Rows of one vehicle, read from bags.

    blind: a bag lacks rotor speeds and disturbance, so they are 0 in all rows. words: lines for the user about each bag.
    """

    rows: Rows
    blind: bool
    words: tuple[str, ...]


def gather(bags: Sequence[Path], airframe: Airframe, coefficients: Coefficients, label: str) -> Recorded:
    """Read the steps of all bags.

    coefficients: for rewards that are recomputed. label: if it is "guide", each step needs the guide's action.
    Raises BagError if a bag was flown by another airframe or lacks a topic or field.
    """
    parts, words, blind, origins = [], [], False, []
    for bag in bags:
        recording = read(bag, TOPICS)
        origins.append((bag, recording.origin))
        bag_origin.require_separate_origins(origins)
        require_airframe(recording, airframe)
        if recording.applied is not None:
            rows, kind = _transitions(recording, recording.applied), "steps of simulated flight"
        else:
            rows, kind = _flight(recording, airframe, coefficients, label), "steps of flight, their reward recomputed"
            blind = True
        by_guide = ((rows.flags & GUIDE) > 0).mean()
        words += [f"{bag}: {note}" for note in recording.notes if not note.startswith("no ")]
        others = "flown by another controller, whose actions stand for the guide's"
        flown = others if recording.origin is not None else f"{by_guide:.0%} of them flown by the guide"
        words.append(f"{bag}: {len(rows.flags)} {kind}, {flown}")
        parts.append(rows)
    rows, dropped = finite(Rows(*(np.concatenate(part) for part in zip(*parts, strict=True))))
    if dropped:
        words.append(f"{dropped} steps with NaN or infinity are left out")
    if blind:
        words.append("a flight lacks rotor speeds and disturbance: the critics learn without them, from all bags")
        rows = rows._replace(rotor_speed=np.zeros_like(rows.rotor_speed), disturbance=np.zeros_like(rows.disturbance))
    return Recorded(rows, blind, tuple(words))


def gather_for(plan: Recipe, bags: Sequence[Path], airframe: Airframe) -> Recorded:
    """`gather` for a recipe: rewards by the coefficients of its first stage, labels as its td3bc wants them."""
    return gather(bags, airframe, plan.task.coefficients(plan.task.stage(0.0)), plan.td3bc.label)


def buffer(recorded: Recorded, window: int, history: int = HISTORY) -> SequenceBuffer:
    """A replay buffer with these rows; history as in SequenceBuffer. Raises BagError if the rows are too few for windows."""
    count, least = len(recorded.rows.flags), 2 * window + HISTORY + 1
    if count < least:
        raise BagError(f"bags: found {count} steps to learn from, wanted at least {least} for windows of {window} steps")
    held = SequenceBuffer(count, 1, history)
    age = np.arange(count) - np.maximum.accumulate(np.where(recorded.rows.flags & FIRST, np.arange(count), 0))
    held.restore({name: array[:, None] for name, array in (recorded.rows._asdict() | {"age": age}).items()}, count)
    return held


def require_airframe(recording: Recording, airframe: Airframe) -> None:
    """Raises BagError if the checkpoints or the actions in a bag are for another airframe."""
    for found in [*recording.checkpoints.values()][:1]:  # all checkpoints of a run are for the same airframe
        contract = checkpoint.loads(found.data, name=f"{recording.path}: {found.name}").manifest.contract
        if contract.airframe_hash != airframe.hash:
            other = "" if contract.airframe == airframe.name else f", {contract.airframe}"
            raise BagError(
                f"{recording.path}: policy/checkpoint: airframe_hash: found {contract.airframe_hash}{other}, wanted "
                f"{airframe.hash}, {airframe.name}; name the airframe that flew"
            )
    sources = {"policy/action": recording.policy, "guide/action": recording.guide, "command": recording.commands}
    for topic, source in sources.items():
        if source is not None and source.layout != airframe.action_layout:
            raise BagError(
                f"{recording.path}: {topic}: layout: found '{source.layout}', wanted '{airframe.action_layout}' as of "
                f"airframe {airframe.name}; name the airframe that flew"
            )


def _transitions(recording: Recording, applied: Applied) -> Rows:
    """The steps of all vehicles of a simulation, one vehicle after the other."""
    states = recording.states
    known = np.isfinite(applied.action).all(2)
    if not known.any():
        raise BagError(f"{recording.path}: transition: found no action for a recorded state, wanted at least one")
    rows = []
    for vehicle in range(recording.vehicles):
        at = np.flatnonzero(known[:, vehicle])
        flags = applied.flags[at, vehicle] | _cuts(states.tick[at])
        found = {name: array[at, vehicle] for name, array in applied._asdict().items()} | {"flags": flags}
        rows.append(Rows(observation=states.observation[at, vehicle], **found))
    return Rows(*(np.concatenate(part) for part in zip(*rows, strict=True)))


def _flight(recording: Recording, airframe: Airframe, coefficients: Coefficients, label: str) -> Rows:
    """The steps of a flight that policy or guide flew in the air."""
    commands, states = recording.commands, recording.states
    if commands is None:
        raise BagError(f"{recording.path}: found no transition and no command, wanted one of them: what was flown")
    flown = np.isfinite(commands.action).all(1) & np.isin(commands.commander, (POLICY_FLEW, GUIDE_FLEW, OTHER_FLEW))
    flown &= (states.flags[:, 0] & FIRST) == 0  # in a flight FIRST means: the vehicle stands on the ground
    if not np.isfinite(states.observation[:, 0, :3]).any():
        raise BagError(f"{recording.path}: found no set_point, wanted one: the reward is the distance from it")
    guide = np.zeros_like(commands.action)
    if recording.origin is not None:
        guide = commands.action
    elif recording.guide is not None:
        guide = recording.guide.action[:, 0]
        if label == "guide":
            flown &= np.isfinite(guide).all(1)
    elif label == "guide":
        raise BagError(f"{recording.path}: found no guide/action, which td3bc.label 'guide' holds the actor to; wanted it")
    at = np.flatnonzero(flown)
    if not len(at):
        raise BagError(f"{recording.path}: command: found no step that a controller flew in the air, wanted at least one")
    by_guide = np.isin(commands.commander[at], (GUIDE_FLEW, OTHER_FLEW))
    observation, action = states.observation[at, 0], commands.action[at]
    earned = np.zeros(len(at), np.float32)  # the reward of a step is that of the state it led to
    earned[:-1] = reward(observation[1:], throttle(action[:-1], airframe), airframe.hover, coefficients)
    return Rows(
        flags=(_cuts(states.tick[at]) | np.where(by_guide, GUIDE, 0)).astype(np.uint8),
        observation=observation,
        rotor_speed=np.zeros((len(at), 4), np.float32),
        disturbance=np.zeros((len(at), 6), np.float32),
        action=action,
        guide_action=np.nan_to_num(guide[at]),
        reward=earned,
    )


def throttle(action: np.ndarray, airframe: Airframe) -> np.ndarray:
    """Rotor commands u (N, 4) in 0..1 for actions (N, 4) in -1..1.

    With the layout `rates` all four are the collective: the differences that the rate loop adds are unknown.
    """
    if airframe.action_layout == "motors":
        return np.asarray(action_mapping.command(action))
    return np.repeat(action_mapping.thrusts(action[:, :1], airframe.hover).astype(np.float32), 4, axis=1)


def _cuts(tick: np.ndarray) -> np.ndarray:
    """Flags (T,): FIRST at the first row and after each gap in the ticks, so that nothing is learned across it."""
    return np.where(np.diff(tick, prepend=tick[0]) != 1, FIRST, 0).astype(np.uint8)
