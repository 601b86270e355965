"""A flight by motor commands, for a fit and its judgement: what moved, what was commanded, and when both are known.

World ENU, body FLU, SI units, control steps of 10 ms.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from spike_ctrl.airframe import Airframe
from spike_ctrl.recordings import BagError
from spike_ctrl.recordings.bag_origin import require_separate_origins
from spike_ctrl.recordings.reader import read
from spike_ctrl.recordings.recorded_transitions import require_airframe, throttle
from spike_ctrl.recordings.recording import Poses, Recording
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.episode_flags import FIRST
from spike_ctrl_identify import IdentifyError
from spike_ctrl_identify.inertial_state import inertial_state
from spike_ctrl_identify.log_defects import delay, on_line
from spike_ctrl_identify.logged_flight import Series

TOPICS = (
    "state",
    "command",
    "flight_state",
    "reference_state",
    "battery",
    "imu",
    "origin",
    "policy/action",
    "policy/checkpoint",
)
GAP = 0.015  # s; a larger time between two samples is a gap
LOW = 0.25  # m; lower than this the ground is felt
AGREE = 0.4  # correlation of gyro and reference; with a smaller one their delay is not known
HISTORY, AHEAD, EVERY = 100, 100, 5  # steps: known before a start, known after it, from one start to the next
LEAD = 5  # steps: so long a command acts
OWN = "no motion capture: its gyro and accelerometer tell what moves within a second, its estimator the rest"
BLIND = (
    "no motion capture and no acceleration: its estimator's velocity tells no force, so drag and thrust slope are not told"
)


class ObservedFlight(NamedTuple):
    """T control steps of one flight.

    state (T, 13): position, quaternion x, y, z, w, velocity, body rates. command (T, 4): u in 0..1. voltage (T,): V, NaN
    where it was not recorded. good (T,): in the air, and all of it known. lost (T,): commands or rates were interpolated,
    because packets were lost. notes: lines for the user. agree: correlation of the gyro with the attitude that was measured
    from outside; 1 where there is none. forces: velocities tell forces; not where they are an estimator's alone. sensed
    (T, 3): specific force in the body, m/s^2, where the state follows from it; None: it does not.
    """

    name: str
    state: np.ndarray
    command: np.ndarray
    voltage: np.ndarray
    good: np.ndarray
    lost: np.ndarray
    notes: tuple[str, ...] = ()
    agree: float = 1.0
    forces: bool = True
    sensed: np.ndarray | None = None

    @property
    def powered(self) -> bool:
        """The battery's voltage is known."""
        return bool(np.isfinite(self.voltage).all())

    def starts(self, every: int = EVERY, ahead: int = AHEAD) -> np.ndarray:
        """Steps from which a prediction can begin: known are HISTORY steps before and `ahead` after."""
        bad = np.cumsum(np.append(0, ~self.good))
        at = np.arange(HISTORY, len(self.good) - ahead, every)
        return at[bad[at + ahead + 1] == bad[at - HISTORY]]

    def whole(self, at: np.ndarray, ahead: int) -> np.ndarray:
        """Which of the starts `at` have no lost packet from LEAD steps before to `ahead` after."""
        lost = np.cumsum(np.append(0, self.lost))
        return lost[at + ahead + 1] == lost[at - LEAD]


def flown_by_motors(recording: Recording) -> bool:
    """True for a flight that was not simulated in episodes and whose commands are those of the motors."""
    commands = recording.commands
    return recording.applied is None and commands is not None and commands.layout == "motors"


def observed_flights(bags: Sequence[Path], airframe: Airframe) -> list[ObservedFlight]:
    """The flights in bags. Raises BagError: a topic is missing, another airframe flew, or two bags hold the same flight."""
    recordings = [read(bag, TOPICS) for bag in bags]
    require_separate_origins([(recording.path, recording.origin) for recording in recordings])
    return [observed(recording, airframe) for recording in recordings]


def observed(recording: Recording, airframe: Airframe) -> ObservedFlight:
    """The flight in a recording.

    Pose and velocity are the reference's where the bag has them, and then the vehicle's own gyro and motors are shifted by
    the delay at which the gyro fits the reference's attitude. Without a reference its own gyro and accelerometer tell what
    changes within a second: see `inertial_state`. Raises BagError that names what is missing.
    """
    if not flown_by_motors(recording):
        raise BagError(f"{recording.path}: found no motor commands of a flight, wanted them: command of layout 'motors'")
    require_airframe(recording, airframe)
    if recording.poses is None:
        raise BagError(f"{recording.path}: found no flight_state, wanted it: what the gyro measured")
    own, outside = recording.poses, recording.reference
    known = np.isfinite(own.stamp) & np.isfinite(own.rates).all(1)
    body = outside if outside is not None and np.isfinite(outside.velocity).all(1).any() else own
    seen = np.isfinite(body.stamp) & np.isfinite(np.hstack([body.position, body.quaternion, body.velocity])).all(1)
    if min(known.sum(), seen.sum()) < 2:
        raise BagError(f"{recording.path}: found no state with position, attitude, velocity and rates, wanted a flight")
    source = "flight_state" if body is own else "reference_state"
    for topic, stamp in (("flight_state", own.stamp[known]), (source, body.stamp[seen])):
        if (np.diff(stamp) <= 0).any():
            raise BagError(f"{recording.path}: {topic}: found stamps that repeat or go back, wanted ever later ones")
    late, agree, notes = _delay(own, body, known, seen) if body is not own else (0.0, 1.0, ())
    grid = np.arange(body.stamp[seen][0], body.stamp[seen][-1], 1 / RATE_HZ)
    grid = grid[(grid + late >= own.stamp[known][0]) & (grid + late <= own.stamp[known][-1])]
    turned = Slerp(body.stamp[seen], Rotation.from_quat(body.quaternion[seen]))(grid).as_quat()
    state = np.hstack(
        [
            _at(grid, body.stamp[seen], body.position[seen]),
            turned,
            _at(grid, body.stamp[seen], body.velocity[seen]),
            _at(grid + late, own.stamp[known], own.rates[known]),
        ]
    )
    driven = known & np.isfinite(recording.commands.action).all(1)
    if driven.sum() < 2:
        raise BagError(f"{recording.path}: found no command of a known state, wanted what was flown")
    command = _at(grid + late, own.stamp[driven], throttle(recording.commands.action[driven], airframe))
    voltage = np.full(len(grid), np.nan)
    if recording.sensed is not None and (told := known & np.isfinite(recording.sensed.voltage)).sum() > 1:
        voltage = _at(grid + late, own.stamp[told], recording.sensed.voltage[told, None])[:, 0]
    grounded = np.interp(grid + late, own.stamp[known], (recording.states.flags[known, 0] & FIRST) > 0) > 0
    near = _near(grid, body.stamp[seen]) & _near(grid + late, own.stamp[driven])
    forces, sensed = body is not own, None
    if not forces:
        measured = (
            known & np.isfinite(recording.sensed.force).all(1) if recording.sensed is not None else np.zeros_like(known)
        )
        forces = bool(measured.sum() > known.sum() / 2)
        near &= _near(grid, own.stamp[measured]) if forces else near
        notes = (OWN if forces else BLIND,)
        if forces:
            sensed = _at(grid, own.stamp[measured], recording.sensed.force[measured])
            state = inertial_state(state, sensed, near)
    good = near & ~grounded & (state[:, 2] > LOW)
    made_up = on_line(Series(own.stamp[driven], recording.commands.action[driven])) | on_line(
        Series(own.stamp[driven], own.rates[driven])
    )
    lost = np.interp(grid + late, own.stamp[driven], made_up) > 0.5
    return ObservedFlight(recording.path.name, state, command, voltage, good, lost, notes, agree, forces, sensed)


def require_starts(flights: Sequence[ObservedFlight], least: int) -> None:
    """Raises IdentifyError where the flights together hold fewer starts than `least`."""
    count, seconds = sum(len(f.starts()) for f in flights), sum(f.good.sum() for f in flights) / RATE_HZ
    if count < least:
        raise IdentifyError(
            f"found {seconds:.1f} s in the air above {LOW:g} m and {count} times in it with "
            f"{HISTORY / RATE_HZ:g} s known before and {AHEAD / RATE_HZ:g} s after, wanted at least {least}"
        )


def _delay(own: Poses, body: Poses, known: np.ndarray, seen: np.ndarray) -> tuple[float, float, tuple[str, ...]]:
    """How late the gyro is behind the reference in the air, s, the correlation at that, and what is to be told of it."""
    high = seen & (body.position[:, 2] > LOW)
    if high.sum() < 2:
        return 0.0, 0.0, (f"found no state above {LOW:g} m",)
    during = known & (own.stamp >= body.stamp[high][0]) & (own.stamp <= body.stamp[high][-1])
    late, agree = delay(Series(own.stamp[during], own.rates[during]), Series(body.stamp[high], body.quaternion[high]))
    if agree < AGREE:
        note = f"gyro and reference agree at a correlation of {agree:.2f}, wanted {AGREE:g}: is the log of another flight?"
        return 0.0, agree, (f"{note} A delay of 0 is taken",)
    return late, agree, ()


def _at(time: np.ndarray, stamps: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.column_stack([np.interp(time, stamps, column) for column in values.T])


def _near(time: np.ndarray, stamps: np.ndarray) -> np.ndarray:
    """Which times lie between two samples with no gap between them."""
    after = np.clip(np.searchsorted(stamps, time), 1, len(stamps) - 1)
    return (stamps[after] - stamps[after - 1] <= GAP) & (time >= stamps[0]) & (time <= stamps[-1])
