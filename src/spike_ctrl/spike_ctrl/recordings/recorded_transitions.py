"""What bags tell a learner: their vehicles' steps laid end to end, as rows of one vehicle.

A bag of sim_train holds transitions, which are all there is to learn. A bag of a flight holds states and commands: the
reward is recomputed from them, rotor speeds and disturbance are not known, and only what policy or guide flew in the air
counts. Nothing is learnt across a tick that is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.learn.replay_buffer import HISTORY, Rows, SequenceBuffer, finite
from spike_ctrl.policy import checkpoint
from spike_ctrl.recordings import BagError
from spike_ctrl.recordings.reader import Recording, read
from spike_ctrl.sim import action_mapping
from spike_ctrl.sim.episode_flags import FIRST, GUIDE
from spike_ctrl.sim.reward import Coefficients, reward

TOPICS = ("state", "transition", "command", "policy/action", "guide/action", "policy/checkpoint")
POLICY_FLEW, GUIDE_FLEW = 0, 1  # of FlightCommand


class Recorded(NamedTuple):
    """Rows of one vehicle. blind: rotor speeds and disturbance are 0, since a bag does not know them. words: a line of
    each bag and each gap in it."""

    rows: Rows
    blind: bool
    words: tuple[str, ...]


def gather(bags: Sequence[Path], airframe: Airframe, coefficients: Coefficients, label: str) -> Recorded:
    """The steps of all bags. coefficients: of the rewards that are recomputed; label: "guide" needs the guide's actions.

    Raises BagError where a bag was flown by another airframe or lacks a topic or field that is needed.
    """
    parts, words, blind = [], [], False
    for bag in bags:
        recording = read(bag, TOPICS)
        check(recording, airframe)
        if recording.applied is not None:
            rows, kind = _transitions(recording), "steps of simulated flight"
        else:
            rows, kind = _flight(recording, airframe, coefficients, label), "steps of flight, their reward recomputed"
            blind = True
        by_guide = ((rows.flags & GUIDE) > 0).mean()
        words += [f"{bag}: {note}" for note in recording.notes if not note.startswith("no ")]
        words.append(f"{bag}: {len(rows.flags)} {kind}, {by_guide:.0%} of them flown by the guide")
        parts.append(rows)
    rows, dropped = finite(Rows(*(np.concatenate(part) for part in zip(*parts, strict=True))))
    if dropped:
        words.append(f"{dropped} steps with NaN or infinity are left out")
    if blind:
        words.append("a flight does not tell rotor speeds and disturbance: the critics do without, on all bags")
        rows = rows._replace(rotor_speed=np.zeros_like(rows.rotor_speed), disturbance=np.zeros_like(rows.disturbance))
    return Recorded(rows, blind, tuple(words))


def buffer(recorded: Recorded, window: int, history: int = HISTORY) -> SequenceBuffer:
    """A buffer of these rows; history as in SequenceBuffer. Raises BagError where they are too few for such windows."""
    count, least = len(recorded.rows.flags), 2 * window + HISTORY + 1
    if count < least:
        raise BagError(f"bags: found {count} steps to learn from, wanted at least {least} for windows of {window} steps")
    held = SequenceBuffer(count, 1, history)
    age = np.arange(count) - np.maximum.accumulate(np.where(recorded.rows.flags & FIRST, np.arange(count), 0))
    held.restore({name: array[:, None] for name, array in (recorded.rows._asdict() | {"age": age}).items()}, count)
    return held


def check(recording: Recording, airframe: Airframe) -> None:
    """That this airframe flew, as far as the bag tells."""
    for found in recording.checkpoints.values():
        contract = checkpoint.loads(found.data, name=f"{recording.path}: {found.name}").manifest.contract
        if contract.airframe_hash != airframe.hash:
            other = "" if contract.airframe == airframe.name else f", {contract.airframe}"
            raise BagError(
                f"{recording.path}: policy/checkpoint: airframe_hash: found {contract.airframe_hash}{other}, wanted "
                f"{airframe.hash}, {airframe.name}; name the airframe that flew: --airframe"
            )
        break  # all checkpoints of a run are for the same airframe
    sources = {"policy/action": recording.policy, "guide/action": recording.guide, "command": recording.commands}
    for topic, source in sources.items():
        if source is not None and source.layout != airframe.action_layout:
            raise BagError(
                f"{recording.path}: {topic}: layout: found '{source.layout}', wanted '{airframe.action_layout}' as of "
                f"airframe {airframe.name}; name the airframe that flew: --airframe"
            )


def _transitions(recording: Recording) -> Rows:
    """All vehicles' steps, one vehicle after the other."""
    applied, states = recording.applied, recording.states
    known = np.isfinite(applied.action).all(2)
    if not known.any():
        raise BagError(f"{recording.path}: transition: action: none answers a recorded state, wanted some")
    rows = []
    for vehicle in range(recording.vehicles):
        at = np.flatnonzero(known[:, vehicle])
        flags = applied.flags[at, vehicle] | _cuts(states.tick[at])
        found = {name: array[at, vehicle] for name, array in applied._asdict().items()} | {"flags": flags}
        rows.append(Rows(observation=states.observation[at, vehicle], **found))
    return Rows(*(np.concatenate(part) for part in zip(*rows, strict=True)))


def _flight(recording: Recording, airframe: Airframe, coefficients: Coefficients, label: str) -> Rows:
    """The steps that policy or guide flew in the air."""
    commands, states = recording.commands, recording.states
    if commands is None:
        raise BagError(f"{recording.path}: found no transition and no command, wanted one of them: what was flown")
    flown = np.isfinite(commands.action).all(1) & np.isin(commands.commander, (POLICY_FLEW, GUIDE_FLEW))
    flown &= (states.flags[:, 0] & FIRST) == 0  # in a flight: it stands on the ground
    guide = np.zeros_like(commands.action)
    if recording.guide is not None:
        guide = recording.guide.action[:, 0]
        if label == "guide":
            flown &= np.isfinite(guide).all(1)
    elif label == "guide":
        raise BagError(f"{recording.path}: found no guide/action, which td3bc.label 'guide' holds the actor to; wanted it")
    at = np.flatnonzero(flown)
    if not len(at):
        raise BagError(f"{recording.path}: command: commander: found no step in the air of policy or guide, wanted some")
    by_guide = commands.commander[at] == GUIDE_FLEW
    observation, action = states.observation[at, 0], commands.action[at]
    earned = np.zeros(len(at), np.float32)  # a step is paid by the state that it led to
    earned[:-1] = reward(observation[1:], throttle(action[:-1], airframe), airframe.hover, coefficients)
    blank = np.zeros((len(at), 4), np.float32)
    return Rows(
        flags=(_cuts(states.tick[at]) | np.where(by_guide, GUIDE, 0)).astype(np.uint8),
        observation=observation,
        rotor_speed=blank,
        disturbance=np.zeros((len(at), 6), np.float32),
        action=action,
        guide_action=np.nan_to_num(guide[at]),
        reward=earned,
    )


def throttle(action: np.ndarray, airframe: Airframe) -> np.ndarray:
    """Commands u (N, 4) of the rotors. Of `rates` only the collective is known: what the rate loop adds is not."""
    if airframe.action_layout == "motors":
        return action_mapping.command(action)
    thrust = np.vectorize(action_mapping.thrust, otypes=[np.float32])(action[:, :1], np.float64(airframe.hover))
    return np.repeat(thrust, 4, axis=1)


def _cuts(tick: np.ndarray) -> np.ndarray:
    """FIRST at the first row and behind each gap, where nothing may be learnt across."""
    flags = np.zeros(len(tick), np.uint8)
    flags[0] = FIRST
    flags[1:][np.diff(tick) != 1] = FIRST
    return flags
