"""Runs a policy over the recorded states of a flight, and compares its actions with the recorded ones.

This is an open loop: the policy sees the recorded states, not those that its own actions would have led to. The same
checkpoint gives the same actions bit by bit on the same kind of processor. The spiking state is known from the start of an
episode. It is unknown after a state that the bag lacks, unless the policy did not see that state either.
"""

import hashlib
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl import airframe, plug_ins
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.json_lines import plain
from spike_ctrl._files.text_table import text_table
from spike_ctrl.flight import flight_settings
from spike_ctrl.policy import checkpoint, voltage_input
from spike_ctrl.policy.checkpoint import Checkpoint, Contract
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.pilot import same_state
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.recordings import BagError
from spike_ctrl.recordings.reader import read
from spike_ctrl.recordings.recorded_policy import RecordedPolicy, doubtful_rows, told_steps
from spike_ctrl.recordings.recording import Recording
from spike_ctrl.sim import action_mapping
from spike_ctrl.sim.episode_flags import FIRST, TERMINATED, TRUNCATED
from spike_ctrl.sim.observation import LAYOUT
from spike_ctrl.sim.reward import START, reward

AXES = {
    "motors": ("front-right", "back-right", "back-left", "front-left"),
    "rates": ("thrust", "roll rate", "pitch rate", "yaw rate"),
}
# The topics of a bag that a replay needs.
TOPICS = (
    "state", "policy/action", "policy/status", "policy/checkpoint", "policy/model", "transition", "origin", "battery",
    "command", flight_settings.TOPIC,
)  # fmt: skip


def steps() -> Iterator[tuple[Callable[[Checkpoint], Policy], str]]:
    """How a checkpoint may have flown a single vehicle, where numpy's own products give other actions; in words."""
    yield Checkpoint.ordered, "by the step of a flight"
    for name, runtime in plug_ins.loaded("policy_runtimes"):
        if not isinstance(runtime, UsageError):
            yield runtime.model, f"by the runtime {name}"
    yield lambda found: found.compiled(fused=True), "by the step of flights before sums had one order"


class Choice(NamedTuple):
    """What is replayed.

    policies: one policy, or one for each epoch. same: it is the policy that flew. words: which one it is and how that is
    known, for the user.
    """

    policies: Policy | Mapping[int, Policy]
    contract: Contract
    same: bool
    words: str


@dataclass(frozen=True)
class Replay:
    """Recomputed actions for T ticks of N vehicles.

    action (T, N, 4): NaN where there was no policy. known (T, N): whether the spiking state was known. stepped (T,): whether
    the policy stepped on the state; on those that it did not see in flight it does not step here.
    """

    action: np.ndarray
    known: np.ndarray
    stepped: np.ndarray
    spikes: np.ndarray | None = None  # (T, neurons) of vehicle 0; None where nothing spikes
    membrane: np.ndarray | None = None  # (T, neurons) of vehicle 0; the same


@dataclass(frozen=True)
class Difference:
    """The first action that differs: tick, vehicle, axis (index of the action), recorded and recomputed value."""

    tick: int
    vehicle: int
    axis: int
    recorded: float
    recomputed: float


@dataclass(frozen=True)
class Comparison:
    """Recomputed against recorded actions. Counts are of vehicle-steps.

    compared, equal: with both actions, and with equal ones. known, known_equal: the same, where the spiking state is known.
    first: the first difference where it is known. unseen: states on which the policy did not step. rms, p95, largest: of the
    difference in each axis, in action units, over all compared steps. over_time (seconds, 4): rms of each second and axis.
    """

    compared: int
    equal: int
    known: int
    known_equal: int
    first: Difference | None
    unseen: int = 0
    rms: tuple[float, ...] = ()
    p95: tuple[float, ...] = ()
    largest: tuple[float, ...] = ()
    over_time: np.ndarray = field(default_factory=lambda: np.empty((0, 4)))

    @property
    def same(self) -> bool:
        """Whether all actions with a known spiking state are equal; where there are none, whether all are."""
        return self.known_equal == self.known if self.known else 0 < self.compared == self.equal


def replay(recording: Recording, policies: Policy | Mapping[int, Policy], *, traces: bool = False) -> Replay:
    """Run one policy, or the policy of each epoch, over the recorded states. traces: keep the neurons of vehicle 0.

    The bag does not tell whether a policy that learns its plant was told what others commanded: it is if that gives more of
    the recorded actions.
    """
    every = policies.values() if isinstance(policies, Mapping) else [policies]
    if recording.policy is None or not any(getattr(one, "learns_plant", False) for one in every):
        return _replayed(recording, policies, traces, False)
    both = [_replayed(recording, policies, traces, told) for told in (True, False)]
    return max(both, key=lambda found: compare(recording, found, 1.0).equal)


def _replayed(recording: Recording, policies: Policy | Mapping[int, Policy], traces: bool, told: bool) -> Replay:
    ticks, vehicles = len(recording.states.tick), recording.vehicles
    action, known = np.full((ticks, vehicles, 4), np.nan, np.float32), np.zeros((ticks, vehicles), bool)
    follower = RecordedPolicy(recording, policies, told)
    stepped, doubtful = told_steps(recording), doubtful_rows(recording)
    one = next(iter(policies.values())) if isinstance(policies, Mapping) else policies
    kept: tuple[np.ndarray, ...] = ()
    if traces and isinstance(one, SpikingPolicy):
        kept = tuple(np.full((ticks, len(one.theta)), np.nan, np.float32) for _ in range(2))
    for row in range(ticks):
        if row in doubtful:
            stepped[row : doubtful[row]] = follower.inferred(row, doubtful[row])
        if not stepped[row]:
            continue
        found = follower.step(row)
        if found.action is not None:
            action[row], known[row] = found
        state, flown = follower.pilot.state, follower.pilot.flown
        if kept and state is not None and flown is not None and same_state(flown.policy, one):
            kept[0][row], kept[1][row] = state.spike[:, 0], state.membrane[:, 0]
    return Replay(action, known, stepped, *kept)


def compare(recording: Recording, found: Replay, rate_hz: float) -> Comparison:
    """Compare recomputed and recorded actions wherever there are both. rate_hz: control steps per second."""
    recorded = recording.answers.action
    both = (recording.answers.tick >= 0)[:, None] & np.isfinite(found.action).all(2)
    equal = (recorded.view(np.uint32) == found.action.view(np.uint32)).all(2)
    known = both & found.known
    first = None
    if (known & ~equal).any():
        row, vehicle = np.argwhere(known & ~equal)[0]
        axis = int(np.flatnonzero(recorded[row, vehicle] != found.action[row, vehicle])[0])
        one, other = float(recorded[row, vehicle, axis]), float(found.action[row, vehicle, axis])
        first = Difference(int(recording.states.tick[row]), int(vehicle), axis, one, other)
    compared, equals, knows, knows_equal = (int(count.sum()) for count in (both, both & equal, known, known & equal))
    counted = Comparison(compared, equals, knows, knows_equal, first, int((~found.stepped).sum()))
    if not both.any():
        return counted
    error = np.where(both[:, :, None], np.abs(found.action - recorded), np.nan).astype(float)
    each = error[both]
    step = max(1, round(rate_hz))
    over_time = np.array([_rms(error[at : at + step].reshape(-1, 4)) for at in range(0, len(error), step)])
    return replace(
        counted,
        rms=tuple(_rms(each)),
        p95=tuple(np.percentile(each, 95, axis=0)),
        largest=tuple(each.max(axis=0)),
        over_time=over_time,
    )


def hover(contract: Contract) -> float | None:
    """Throttle u in 0..1 at which the airframe of a contract hovers. None if that airframe is unknown here."""
    try:
        found = airframe.load(contract.airframe)
    except UsageError:
        return None
    return found.hover if found.hash == contract.airframe_hash else None


def returns(recording: Recording, hover: float | None) -> np.ndarray:
    """Return of each episode that is complete in the bag, (episodes,).

    Rewards are counted as in the environment: an action earns the reward of the state that it led to. This needs the
    actions in `transition`, the layout `motors` and the hover throttle `hover`; without them the result is empty.
    """
    states, found = recording.states, []
    if recording.applied is None or recording.policy is None or recording.policy.layout != "motors" or hover is None:
        return np.empty(0)
    for vehicle in range(recording.vehicles):
        flags = states.flags[:, vehicle]
        ends = np.flatnonzero(flags & (TERMINATED | TRUNCATED))
        for start in np.flatnonzero(flags & FIRST):
            after = ends[ends > start]
            if not len(after) or states.tick[after[0]] - states.tick[start] != after[0] - start:
                continue
            command = action_mapping.command(recording.applied.action[start : after[0], vehicle])
            reached = states.observation[start + 1 : after[0] + 1, vehicle]
            if np.isfinite(command).all():
                found.append(reward(reached, command, hover, START).sum())
    return np.array(found)


def chosen(
    recording: Recording, model: bytes | None = None, name: str = "",
    step: Callable[[Checkpoint], Policy] = operator.attrgetter("policy"),
) -> Choice:  # fmt: skip
    """Choose the policy to replay: the given model, or the checkpoints in the bag if `model` is None.

    model, name: of its file. step: which policy of a checkpoint steps. Raises BagError if there is no checkpoint, or if its
    contract does not fit the recorded actions, and CheckpointError for a model that is none.
    """
    if recording.policy is None:
        why = "so there is nothing to compare with"
        if recording.origin is not None:
            why = f"no policy flew: it was imported from {recording.origin['source']}, which another controller flew"
        raise BagError(f"{recording.path}: no policy/action in it, {why}; {usable(recording)}")
    answered = recording.policy.tick >= 0
    if not answered.any():
        raise BagError(f"{recording.path}: no policy/action answers a recorded state; {usable(recording)}")
    epochs = sorted(set(recording.policy.epoch[answered].tolist()))
    if model is not None:
        loaded, sha256 = checkpoint.loads(model, name=name), hashlib.sha256(model).hexdigest()
        _check(recording, loaded, name)
        if all(epoch in recording.checkpoints for epoch in epochs):
            same = all(recording.checkpoints[epoch].sha256 == sha256 for epoch in epochs)
            why = "by the hash of the recorded checkpoints"
        else:
            names = sorted(set(recording.policy.name[answered].tolist()))
            same = [Path(n).name for n in names] == [Path(name).name]
            why = f"by its name; the bag says {', '.join(names)}"
        policy = loaded.seeing(step(loaded), recording.course)
        words = f"{name}, {'the same' if same else 'another one'} {why}"
        return Choice(dict.fromkeys(epochs, policy) if same else policy, loaded.manifest.contract, same, words)
    held = {epoch: recording.checkpoints[epoch] for epoch in epochs if epoch in recording.checkpoints}
    if not held:
        raise BagError(f"{recording.path}: no policy/checkpoint in it, wanted one, or a model; {usable(recording)}")
    policies: dict[int, Policy] = {}
    for epoch, found in held.items():
        loaded = checkpoint.loads(found.data, name=f"{recording.path}: {found.name}")
        _check(recording, loaded, found.name)
        contract = loaded.manifest.contract
        policies[epoch] = loaded.seeing(step(loaded), recording.course)
    names = [f"{found.name} (sha256 {found.sha256[:12]})" for found in held.values()]
    shown = ", ".join(names) if len(names) < 4 else f"{names[0]} to {names[-1]}"
    return Choice(policies, contract, True, f"{len(policies)} of {len(epochs)} as recorded: {shown}")


def judged(
    recording: Recording, model: bytes | None = None, name: str = "", *, traces: bool = False
) -> tuple[Choice, Comparison, Replay]:
    """Choose the policy, replay it and compare; arguments as in `chosen` and `replay`.

    A single vehicle flies by the compiled step. Where the same checkpoint gives other actions in numpy, it is replayed in
    the order of that step's sums, without numba, and then as numba compiled it before sums had one order.
    """
    choice = chosen(recording, model, name)
    again = replay(recording, choice.policies, traces=traces)
    found = compare(recording, again, choice.contract.rate_hz)
    if found.same or not choice.same or recording.vehicles > 1 or choice.contract.neuron is None:
        return choice, found, again
    for step, words in steps():
        try:
            other = chosen(recording, model, name, step)
        except UsageError:  # a network that this runtime does not have
            continue
        replayed = replay(recording, other.policies, traces=traces)
        better = compare(recording, replayed, choice.contract.rate_hz)
        if better.equal > found.equal:
            choice, found, again = other._replace(words=f"{other.words}, {words}"), better, replayed
        if found.same:
            break
    return choice, found, again


def flown(path: Path, model: str = "") -> tuple[str, bool]:
    """Name of the airframe of `model` (if "": of the bag's checkpoint), and whether the bag is of a flight in real time.

    Raises BagError, CheckpointError.
    """
    recording = read(path, ("state", "policy/checkpoint", "policy/model", "flight_state"))
    data = checkpoint.read(model) if model else next((found.data for found in recording.checkpoints.values()), None)
    if data is None:
        raise BagError(f"{path}: no policy/checkpoint in it, wanted one, or a model; {usable(recording)}")
    return checkpoint.loads(data, name=model or str(path)).manifest.contract.airframe, recording.poses is not None


def usable(recording: Recording) -> str:
    """A line for the user: what the bag holds."""
    parts = [f"{len(recording.states.tick)} ticks of {recording.vehicles} vehicle{'s' * (recording.vehicles != 1)}"]
    answers = (("policy/action", recording.policy), ("guide/action", recording.guide))
    parts += [f"{int((found.tick >= 0).sum())} of {topic}" for topic, found in answers if found is not None]
    parts += [f"{len(recording.status.tick)} of policy/status"] if recording.status is not None else []
    parts += ["transition"] if recording.applied is not None else []
    parts += ["command"] if recording.commands is not None else []
    parts += [f"{len(recording.checkpoints)} checkpoints"] if recording.checkpoints else []
    return f"usable: {', '.join(parts)}"


def _check(recording: Recording, model: Checkpoint, name: str) -> None:
    contract = model.manifest.contract
    seen = voltage_input.LAYOUT if contract.voltage and recording.states.voltage is not None else LAYOUT
    seen = contract.observation if contract.sight and recording.course else seen
    for field_, found, wanted in (
        ("action", contract.action, recording.answers.layout),
        ("observation", contract.observation, seen),
    ):
        if found != wanted:
            where = f"as in {recording.path}; {usable(recording)}"
            raise BagError(f"{name}: {field_}: found {found!r}, wanted {wanted!r} {where}")


def _rms(error: np.ndarray) -> np.ndarray:
    """Root mean square of the finite values of each column; NaN if there are none."""
    count = np.isfinite(error).sum(0)
    total = np.nansum(error**2, axis=0)
    return np.asarray(np.sqrt(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)))


# --- for the user -------------------------------------------------------------------------------------------------------


def summary(recording: Recording, choice: Choice, found: Comparison, returns_: np.ndarray) -> list[str]:
    """The result as lines for the user."""
    axes = AXES[recording.answers.layout]
    lines = [usable(recording), f"checkpoint: {choice.words}"]
    if found.unseen:
        how = "by its answers" if doubtful_rows(recording) else "as it reports"
        lines.append(f"the policy did not step on {found.unseen} of the states, {how}: a newer one had come")
    if choice.same:
        lines.append(f"equal bit by bit: {found.known_equal} of {found.known} actions with a known {_state(choice)}")
        if found.known < found.compared:
            unknown, equal = found.compared - found.known, found.equal - found.known_equal
            lines.append(f"  and {equal} of {unknown} whose {_state(choice)} is unknown: no start of an episode before them")
    else:
        lines.append(f"equal bit by bit: {found.equal} of {found.compared} actions")
    if (d := found.first) and choice.same:
        lines.append(
            f"first difference: tick {d.tick}, vehicle {d.vehicle}, {axes[d.axis]}: "
            f"recorded {d.recorded:.9g}, recomputed {d.recomputed:.9g}"
        )
    if found.compared and found.equal < found.compared:
        figures = zip(axes, found.rms, found.p95, found.largest, strict=True)
        rows = [[axis, *(f"{one:.4f}" for one in those)] for axis, *those in figures]
        lines.append(text_table([["difference", "rms", "p95", "largest"], *rows]))
        worst = np.nanargmax(np.nan_to_num(found.over_time, nan=-1).max(1))
        lines.append(f"largest in second {worst} of {len(found.over_time)}: rms {np.nanmax(found.over_time[worst]):.4f}")
    if len(returns_):
        lines.append(f"return as flown: {returns_.mean():.1f} over {len(returns_)} whole episodes")
    else:
        lines.append("return as flown: unknown: no whole episode of a known airframe with the motors' actions")
    return lines


def _state(choice: Choice) -> str:
    return "state" if choice.contract.neuron is None else "spiking state"


def figures(found: Comparison, returns_: np.ndarray) -> dict[str, Any]:
    """The result as a mapping for JSON."""
    names = ("compared", "equal", "known", "known_equal", "unseen", "first", "rms", "p95", "largest")
    told = {name: getattr(found, name) for name in names}
    return dict(plain(told | {"rms_over_time": found.over_time, "returns": returns_}))
