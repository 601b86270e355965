"""A recorded flight as arrays: states, actions, checkpoints. Every part but the states is None if the bag lacks it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl.recordings import BagError

POLICY_FLEW, GUIDE_FLEW, SUPERVISOR_FLEW, OTHER_FLEW = range(4)  # of FlightCommand


class States(NamedTuple):
    """The states of N vehicles at T ticks.

    tick, epoch, received (T,): received is when the recorder received the state, ns. flags (T, N). observation (T, N, 18).
    voltage (T,): V, as a policy of a single vehicle is told it, see `measured_voltage`; NaN where it is told none. None: the
    bag has no battery.
    """

    tick: np.ndarray
    epoch: np.ndarray
    received: np.ndarray
    flags: np.ndarray
    observation: np.ndarray
    voltage: np.ndarray | None = None


class Actions(NamedTuple):
    """The answers of policy or guide to the T states, in the same order. A state without an answer has tick -1.

    tick, epoch (T,). received (T,): when the recorder received the answer, ns. name (T,): name of the checkpoint, text.
    action (T, N, 4): NaN where there is no answer. layout: "motors" or "rates".
    """

    tick: np.ndarray
    epoch: np.ndarray
    received: np.ndarray
    name: np.ndarray
    action: np.ndarray
    layout: str


class PolicyReports(NamedTuple):
    """S reports of the policy node, each array (S,) except spike_rate.

    reason: a number of policy.pilot.Reason. inference_time, state_age: s. spike_rate (S, layers): share of spiking neurons,
    NaN if not reported. candidate: epoch of the checkpoint that flies in shadow, -1 if there is none. previous: tick of the
    state on which the policy stepped before this one, 0 where the bag does not tell.
    """

    tick: np.ndarray
    reason: np.ndarray
    inference_time: np.ndarray
    state_age: np.ndarray
    spike_rate: np.ndarray
    candidate: np.ndarray
    previous: np.ndarray


class Applied(NamedTuple):
    """What was flown in simulation at the T states, in the same order. Where it was not recorded: NaN, and flags of 0.

    action, guide_action, rotor_speed (T, N, 4), disturbance (T, N, 6), reward (T, N), flags uint8 (T, N).
    """

    action: np.ndarray
    reward: np.ndarray
    guide_action: np.ndarray
    rotor_speed: np.ndarray
    disturbance: np.ndarray
    flags: np.ndarray


class Commands(NamedTuple):
    """The commands to the single vehicle of a flight at the T states, in the same order.

    action (T, 4): NaN if there was no command. commander (T,): a constant of FlightCommand. layout: "motors" or "rates".
    """

    action: np.ndarray
    commander: np.ndarray
    layout: str


class Poses(NamedTuple):
    """Where the single vehicle of a flight was at the T states, in `odom` (ENU); NaN if it was not recorded.

    stamp (T,): s, on the autopilot's clock. position (T, 3): m. quaternion (T, 4): x, y, z, w, body FLU to world.
    velocity (T, 3): m/s. rates (T, 3): of the body, rad/s.
    """

    stamp: np.ndarray
    position: np.ndarray
    quaternion: np.ndarray
    velocity: np.ndarray
    rates: np.ndarray


class Sensed(NamedTuple):
    """The newest message at each of the T states; NaN before the first, or where there is none.

    set_point (T, 3): m, in `odom`. voltage (T,): V. force (T, 3): specific force in the body, m/s^2; at rest +9.81 upward.
    """

    set_point: np.ndarray
    voltage: np.ndarray
    force: np.ndarray


class Embedded(NamedTuple):
    """A checkpoint that the bag holds: its name, the sha256 of its file and the bytes of its file."""

    name: str
    sha256: str
    data: bytes


@dataclass(frozen=True)
class Recording:
    """A flight from a bag. checkpoints: by epoch. notes: lines on what was missing or could not be used.

    poses: as the vehicle estimates them. reference: as they were measured from outside, by motion capture for example.
    origin: of an imported flight, as `bag_origin` reads it; None if the flight was recorded. paced: its vehicle waited for
    commands, so that no time of receipt says whether something was late. course: for a policy that sees one.
    """

    path: Path
    states: States
    policy: Actions | None = None
    guide: Actions | None = None
    status: PolicyReports | None = None
    applied: Applied | None = None
    commands: Commands | None = None
    poses: Poses | None = None
    reference: Poses | None = None
    sensed: Sensed | None = None
    origin: dict[str, Any] | None = None
    paced: bool = False
    course: str = ""
    checkpoints: dict[int, Embedded] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def vehicles(self) -> int:
        """Number of vehicles, N."""
        return int(self.states.flags.shape[1])

    @property
    def answers(self) -> Actions:
        """The policy's answers. Raises BagError where there are none."""
        if self.policy is None:
            raise BagError(f"{self.path}: found no policy/action, wanted the policy's answers")
        return self.policy


def latencies(recording: Recording) -> np.ndarray:
    """Seconds from each answered state to the policy's answer, (K,), both as the recorder received them."""
    if recording.policy is None:
        return np.empty(0)
    answered = recording.policy.tick >= 0
    return np.asarray((recording.policy.received[answered] - recording.states.received[answered]) * 1e-9)
