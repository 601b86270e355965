"""All faults of a flight, and the rungs of the ladder that they demand.

Every row of the fault table (docs/faults.md) has at least one fault here. state_checks.py finds those of the vehicle's
state; answer_checks.py and policy_monitor.py those of the answers; geofence.py, envelope.py, target_choice.py and the
ladder those of the flight; autopilot.py those of the autopilot. A fault that a node finds itself, such as a lost recorder
or a second publisher, goes to the supervisor as a Finding.
"""

from enum import Enum, IntEnum
from typing import NamedTuple


class Rung(IntEnum):
    """Who flies. Down is automatic, up needs the operator. SILENT: no command leaves; the autopilot or a pilot flies."""

    SNN = 0
    GUIDE = 1
    HOLD = 2
    LAND = 3
    SILENT = 4


class Fault(Enum):
    """A fault: its rows in the fault table, the rung that it demands, and whether it bars an engagement.

    number: never changes, for messages. rung: None where the fault is only counted and reported, and the flight goes on.
    blocks: nothing can be engaged while the fault lasts; true of every fault that demands a rung. settles: the guide
    recovers first, then HOLD follows. strays: the vehicle has left the envelope or comes near the cage. bars_policy: the
    policy may not even command until the autopilot has taken over; true of every fault that strays.
    """

    def __init__(self, number: int, rows: tuple[int, ...], rung: Rung | None, meaning: str, *flags: str) -> None:
        self.number, self.rows, self.rung, self.meaning = number, rows, rung, meaning
        self.blocks = rung is not None or "blocks" in flags
        self.settles, self.strays = "settles" in flags, "strays" in flags
        self.bars_policy = self.strays or "bars_policy" in flags

    @property
    def severity(self) -> str:
        """As in diagnostics: ok (only counted), warning (bars an engagement, or the guide takes over), error."""
        if self.rung is None:
            return "warning" if self.blocks else "ok"
        return "warning" if self.rung is Rung.GUIDE else "error"

    # The vehicle's state
    STREAM_STOPPED = 1, (1,), Rung.GUIDE, "a sensor stream is older than the policy's limit"
    STATE_LATE = 2, (2,), Rung.GUIDE, "too many states came late"
    STATE_LOST = 3, (1,), Rung.HOLD, "no state is fresh enough even for the guide"
    OUT_OF_ORDER = 4, (3,), None, "a state came twice or in the wrong order and was ignored"
    STATE_NOT_FINITE = 5, (4,), Rung.GUIDE, "a state holds NaN or infinity"
    STATE_ABSURD = 6, (5,), Rung.GUIDE, "a state is finite but physically impossible"
    STATE_FROZEN = 7, (6,), Rung.GUIDE, "a sensor repeats itself bit by bit"
    CLOCK_JUMP = 8, (8,), Rung.GUIDE, "the vehicle's clock jumped or lies in the future"
    ESTIMATOR_RESET = 9, (9,), None, "the estimator moved its origin; the set-point moved with it"
    STATE_DELAYED = 10, (2,), None, "a state was old when it came and was skipped"
    ESTIMATE_DOUBTFUL = 11, (46,), Rung.LAND, "the autopilot's estimator is not sure of the state"
    STATE_INCONSISTENT = 12, (47,), Rung.HOLD, "the fields of the state contradict each other", "bars_policy"
    LINK_SLOW = 13, (2,), Rung.HOLD, "states or commands take too long over the link"
    ESTIMATOR_RESTLESS = 14, (9,), Rung.HOLD, "the estimator resets too often or by too much", "bars_policy"
    HOLD_CONTRADICTED = 15, (47,), Rung.LAND, "the autopilot may fail to hold: take over by hand", "bars_policy"
    YAW_NOT_BELIEVED = 16, (9,), Rung.GUIDE, "the yaw jumped and is wrong: take over by hand", "bars_policy"
    # The policy's answers
    ACTION_NOT_FINITE = 20, (7,), Rung.GUIDE, "an action holds NaN or infinity"
    ACTION_CLAMPED = 21, (10,), None, "an action exceeded the contract and was clamped"
    ACTION_SATURATED = 22, (10,), Rung.GUIDE, "the actions are at their limits too often"
    ACTION_SLEWED = 23, (11,), None, "an action changed faster than allowed and was slowed"
    OSCILLATION = 24, (11,), Rung.GUIDE, "actions or body rates oscillate"
    ACTION_STUCK = 25, (12,), Rung.GUIDE, "the action does not change while the state does"
    SPIKE_RATE = 26, (13,), Rung.GUIDE, "a layer spikes too seldom or too often"
    POLICY_SILENT = 27, (14, 15, 16), Rung.GUIDE, "the policy did not answer in time"
    ANSWER_STALE = 28, (15,), None, "an answer to an old or unknown state was refused"
    POLICY_MISSES = 29, (30,), Rung.GUIDE, "too many answers missed their deadline"
    WRONG_IDENTITY = 30, (24, 27), Rung.GUIDE, "an answer has a checkpoint or layout that was not approved"
    SWAP_REFUSED = 31, (27,), None, "a new checkpoint waits until the policy flies"
    DISAGREEMENT = 32, (12, 17, 27), Rung.HOLD, "the policy's actions differ too much from the guide's", "bars_policy"
    # The guide
    GUIDE_SILENT = 40, (17,), Rung.HOLD, "the guide does not answer and could not take over"
    # The flight
    ENVELOPE = 50, (12, 50), Rung.GUIDE, "tilt, rate, speed, height or error left the envelope", "settles", "strays"
    NOT_RECOVERED = 51, (12, 34), Rung.HOLD, "the guide did not recover in time"
    CAGE_NEAR = 52, (34,), Rung.GUIDE, "the vehicle is close to the wall of the cage", "settles", "strays"
    CAGE_LEFT = 53, (34,), Rung.HOLD, "the vehicle is outside the cage", "strays"
    TAKE_OFF_FAILED = 54, (9, 12), Rung.LAND, "the take-off fails: too slow, sinking, turning, or its yaw jumped"
    SET_POINT_STOPPED = 55, (36,), None, "the set-point stream stopped; the vehicle holds its position"
    SET_POINT_NOT_FINITE = 56, (36,), None, "a set-point holds NaN or infinity and was ignored"
    SET_POINT_OUTSIDE = 57, (36,), None, "a set-point lies outside the cage and was clamped"
    CAGE_CLOSING = 58, (34,), Rung.HOLD, "the autopilot must brake now, or the vehicle leaves the cage", "strays"
    OFF_SET_POINT = 59, (12,), Rung.GUIDE, "the policy keeps or steers the vehicle away from its set-point", "bars_policy"
    # The autopilot
    LINK_LOST = 60, (20,), Rung.SILENT, "the autopilot is not heard"
    TAKEN_OVER = 61, (33,), Rung.SILENT, "a pilot or the autopilot took over"
    MODE_NOT_TAKEN = 62, (33, 43), Rung.LAND, "the autopilot did not change to the mode asked for"
    BATTERY_LOW = 63, (35,), None, "the battery is too low to engage", "blocks"
    BATTERY_CRITICAL = 64, (35,), Rung.LAND, "the battery is critical"
    BATTERY_UNKNOWN = 65, (35,), None, "the battery's state is implausible", "blocks"
    RC_LOST = 66, (33,), None, "the remote control is lost: the autopilot acts"
    GROUND_STATION_LOST = 67, (32,), None, "the ground station is lost: the autopilot acts"
    FRAMES_DROPPED = 68, (38,), None, "unsigned, replayed or damaged packets were dropped"
    COMMANDS_NOT_FLOWN = 69, (48,), Rung.SILENT, "the vehicle does not turn as it is commanded"
    MOTORS_NOT_FLOWN = 70, (48,), Rung.HOLD, "the vehicle does not turn as its motors are commanded"
    ROTOR_LOST = 71, (49, 51), Rung.GUIDE, "one rotor gives other thrust than commanded"
    # The companion
    SUPERVISOR_SILENT = 80, (19,), Rung.SILENT, "the supervisor's commands are old, repeated or invalid"
    STARVED = 81, (30,), Rung.HOLD, "the supervisor itself is not scheduled in time"
    SECOND_PUBLISHER = 82, (37, 39), Rung.GUIDE, "another node publishes commands"
    LEARNER_LOST = 83, (18,), None, "the learner is gone; control does not depend on it"
    RECORDER_LOST = 84, (21, 28, 29), None, "the flight is not recorded"
    SAVE_FAILED = 85, (22, 28), None, "a checkpoint could not be saved"
    CHECKPOINT_REFUSED = 86, (22, 23, 24, 25, 26), None, "a checkpoint was refused; the last good one stays"
    MEMORY_GROWS = 87, (31,), None, "the memory of a process grows"
    INTERFACE_MISMATCH = 88, (40,), None, "message definitions, QoS or topics do not fit", "blocks"
    BAD_PARAMETER = 89, (41,), None, "a parameter is unknown or out of range", "blocks"
    BAG_UNUSABLE = 90, (42,), None, "a recording cannot be replayed"
    # The operator
    SHUT_DOWN = 100, (43,), Rung.LAND, "the stack was told to stop"
    STARTED_IN_THE_AIR = 101, (44,), None, "the stack started in the air and stays passive"
    NOT_READY = 102, (45,), None, "a precondition is not met", "blocks"


class Finding(NamedTuple):
    """A fault that was found, with its details: field, found, wanted."""

    fault: Fault
    detail: str

    def __str__(self) -> str:
        return f"{self.fault.name} ({self.fault.meaning}): {self.detail}"


Findings = tuple[Finding, ...]
