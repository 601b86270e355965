"""A mode of our own in PX4: its registration, its arming checks, and what follows when PX4 enters or leaves it. Pure.

PX4 calls it an external mode. It lists the mode under its name, a switch of the remote control selects it, and a place in
PX4's list stays its own by a hash of that name. PX4 asks every .3 s whether the mode can arm and run. It ends the mode when
the answer is no, or when four answers are missing. Unlike OFFBOARD the mode has no time-out of the set-points: `step` ends
it when nobody commands. Times are s on the monotonic clock.
"""

import math
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, NamedTuple

from spike_ctrl.px4.parameter_rules import Unmet
from spike_ctrl_uxrce import uxrce

NAME, NAME_BYTES = "SNN", 25
API = 1  # RegisterExtComponentRequest.LATEST_PX4_ROS2_API_VERSION of PX4 1.15 to 1.17
FIRST, PLACES = 23, 8  # VehicleStatus.NAVIGATION_STATE_EXTERNAL1, number of such modes
AUTO, FIRST_SUB = 4, 11  # main mode and first sub mode of external modes in MAVLink
ASK_AGAIN = 1.0  # s between two requests to register
LOST = 1.5  # s without a question about arming checks, after which PX4 no longer knows the mode
ENTRY = 0.5  # s from PX4's change to the mode to the first command
COMMANDED = 0.1  # s: a younger command shows that the supervisor asked for the mode itself
PATIENCE = {"rates": 0.2, "motors": 0.05}  # s without a command, after which the mode ends; as COM_OF_LOSS_T in OFFBOARD
CUT = 0.7  # s without a question about arming checks, after which the way to PX4 counts as cut; PX4 itself waits 1.2 s
LEAVE_AGAIN, SAY_AGAIN = 0.2, 5.0  # s

IN, OUT = uxrce.NAMESPACE, "fmu/out/"
REQUEST, REPLY, UNREGISTER = "register_ext_component_request", "register_ext_component_reply", "unregister_ext_component"
QUESTION, ANSWER, CONFIGURE = "arming_check_request", "arming_check_reply", "config_control_setpoints"
SENT = {
    REQUEST: "RegisterExtComponentRequest", UNREGISTER: "UnregisterExtComponent", ANSWER: "ArmingCheckReply",
    CONFIGURE: "VehicleControlMode",
}  # fmt: skip
HEARD = {REPLY: "RegisterExtComponentReply", QUESTION: "ArmingCheckRequest"}
_FLAGS = (
    "armed", "multicopter_position_control_enabled", "control_manual_enabled", "control_auto_enabled",
    "control_offboard_enabled", "control_position_enabled", "control_velocity_enabled", "control_altitude_enabled",
    "control_climb_rate_enabled", "control_acceleration_enabled", "control_attitude_enabled", "control_rates_enabled",
    "control_allocation_enabled", "control_termination_enabled",
)  # fmt: skip
_NEEDS = ("angular_velocity", "attitude", "local_alt", "local_position")  # of the policy: an estimate of the whole state
_OTHER_NEEDS = ("mission", "home_position", "prevent_arming", "manual_control")
_HEALTH = tuple(f"health_component_{name}" for name in ("is_present", "warning", "error"))
MOST_EVENTS, EVENT_ARGUMENTS, ERROR = 5, 25, 0x33  # in a reply; bytes; log level for PX4's own log and for a ground station
# PX4 forwards events by number, and a ground station knows the texts of PX4's own alone. So the reason is one of these two,
# "No offboard signal" and "Failure triggered by external system", and `step` has the exact one said as text.
SILENT_EVENT, UNMET_EVENT = "check_modes_offboard_signal", "check_failure_detector_ext"


def fields(px4: str) -> dict[str, Mapping[str, str]]:
    """Fields of all needed px4_msgs, in order, with ROS's names of the types, for PX4 of this version."""
    newer = px4 == "1.17"
    ids = dict.fromkeys(("arming_check_id", "mode_id", "mode_executor_id"), "int8")
    relaxed = ("local_position_relaxed", "global_position", *(("global_position_relaxed",) if newer else ()))
    name, check = {"name": f"uint8[{NAME_BYTES}]"}, {"request_id": "uint8", "registration_id": "uint8"}
    wishes = ("register_arming_check", "register_mode", "register_mode_executor", "enable_replace_internal_mode")
    stamp = {"timestamp": "uint64"}
    set_points = {kind: given for kind, given in uxrce.FIELDS.items() if kind != uxrce.MESSAGES[uxrce.PROOF]}
    return set_points | {
        "RegisterExtComponentRequest": {
            **stamp, "request_id": "uint64", **name, "px4_ros2_api_version": "uint16", **dict.fromkeys(wishes, "boolean"),
            "replace_internal_mode": "uint8", "activate_mode_immediately": "boolean",
        },
        "RegisterExtComponentReply": {
            **stamp, "request_id": "uint64", **name, "px4_ros2_api_version": "uint16", "success": "boolean", **ids,
        },
        "UnregisterExtComponent": {**stamp, **name, **ids},
        "ArmingCheckRequest": {**stamp, "request_id": "uint8", **({"valid_registrations_mask": "uint32"} if newer else {})},
        "ArmingCheckReply": {
            **stamp, **check, "health_component_index": "uint8", **dict.fromkeys(_HEALTH, "boolean"),
            "can_arm_and_run": "boolean", "num_events": "uint8", "events": f"px4_msgs/Event[{MOST_EVENTS}]",
            **{f"mode_req_{need}": "boolean" for need in (*_NEEDS, *relaxed, *_OTHER_NEEDS)},
        },
        "Event": {
            **stamp, "id": "uint32", "event_sequence": "uint16", "arguments": f"uint8[{EVENT_ARGUMENTS}]",
            "log_levels": "uint8",
        },
        "VehicleControlMode": {**stamp, **{f"flag_{flag}": "boolean" for flag in _FLAGS}, "source_id": "uint8"},
    }  # fmt: skip


def event_id(name: str) -> int:
    """Number of one of the autopilot's events: the lower 24 bits of the FNV-1a hash of its name, and component 1."""
    found = 0x811C9DC5
    for byte in name.encode():
        found = (found ^ byte) * 0x01000193 & 0xFFFFFFFF
    return found & 0xFFFFFF | 1 << 24


class ModePlace(NamedTuple):
    """What PX4 gave the mode: its nav_state, 23 to 30, and the number of its arming checks."""

    mode: int
    check: int

    @property
    def custom_mode(self) -> int:
        """The mode in HEARTBEAT.custom_mode."""
        return AUTO << 16 | FIRST_SUB + self.mode - FIRST << 24


def is_external(custom_mode: int) -> bool:
    """Whether it is any external mode."""
    return custom_mode >> 16 & 0xFF == AUTO and FIRST_SUB <= custom_mode >> 24 < FIRST_SUB + PLACES


class ModeState(NamedTuple):
    """Where the mode stands.

    number: of the next request to register. asked: when the last one left. place: None while the mode is not registered.
    heard: when PX4 last asked for its arming checks. refusal: why PX4 did not register it. entered: when PX4 changed to it,
    None in other modes. left: when PX4 was last asked to leave it. said: the last text for the pilot, and when.
    """

    number: int
    asked: float = -math.inf
    place: ModePlace | None = None
    heard: float = -math.inf
    refusal: str = ""
    entered: float | None = None
    left: float = -math.inf
    said: tuple[str, float] = ("", -math.inf)

    @property
    def active(self) -> bool:
        """Whether PX4 flies in this mode, so that set-points may leave: in another one they would disturb PX4's own."""
        return self.entered is not None


class ModeFacts(NamedTuple):
    """The facts when PX4 asks, and every 20 ms.

    custom_mode: PX4's, None while unknown. commanded: when the last admitted command came. supervised: a supervisor is
    there. unmet: of the preflight, None while it has not run.
    """

    now: float
    armed: bool
    airborne: bool
    custom_mode: int | None
    commanded: float
    supervised: bool
    unmet: tuple[str, ...] | None


class ModeOrder(Enum):
    """What the node has to do."""

    REGISTER = auto()
    UNREGISTER = auto()
    ENGAGE = auto()  # a pilot chose the mode: the supervisor is asked to engage
    LEAVE = auto()  # PX4 is asked to hold or land
    SAY = auto()  # the text ModeState.said


def step(state: ModeState, facts: ModeFacts, patience: float) -> tuple[ModeState, tuple[ModeOrder, ...]]:
    """The next state, and what has to be done. patience: PATIENCE of the layout (s)."""
    orders: list[ModeOrder] = []
    now = facts.now
    if state.place is not None and not facts.armed and now - state.heard > LOST:
        return state._replace(place=None, entered=None, asked=now), (ModeOrder.UNREGISTER,)
    if state.place is None:
        if facts.custom_mode is None or facts.armed or now - state.asked < ASK_AGAIN:  # PX4 registers nothing while armed
            return state, ()
        # The mode of a bridge that was killed keeps its place until PX4 leaves it, and a new one would get another place.
        order = ModeOrder.LEAVE if is_external(facts.custom_mode) else ModeOrder.REGISTER
        return state._replace(asked=now), (order,)
    before, active = state.entered, facts.custom_mode == state.place.custom_mode
    state = state._replace(entered=(now if before is None else before) if active else None)
    if active and before is None and facts.airborne and now - facts.commanded > COMMANDED:
        orders.append(ModeOrder.ENGAGE)
    if silence(state, facts, patience) and now - state.left >= LEAVE_AGAIN:
        state = state._replace(left=now)
        orders.append(ModeOrder.LEAVE)
    words = told(objections(state, facts, patience))
    if words != state.said[0] and now - state.said[1] >= SAY_AGAIN:
        state = state._replace(said=(words, now))
        orders.append(ModeOrder.SAY)
    return state, tuple(orders)


def silence(state: ModeState, facts: ModeFacts, patience: float) -> bool:
    """Whether PX4 flies in the mode and hears no command: it would go on with the last set-point."""
    if state.entered is None or not facts.armed:
        return False
    if facts.now - state.heard > CUT:
        return True
    return facts.now - max(facts.commanded, state.entered + ENTRY - patience) > patience


def objections(state: ModeState, facts: ModeFacts, patience: float) -> tuple[str, ...]:
    """Why the mode cannot arm and run; nothing where it can.

    In flight in the mode the supervisor decides about everything but its own silence: a no would end the flight at once.
    """
    if state.active and facts.armed:
        return ("nobody commands",) if silence(state, facts, patience) else ()
    if not facts.supervised:
        return ("no supervisor",)
    return ("preflight has not run",) if facts.unmet is None else facts.unmet


def told(reasons: tuple[str, ...]) -> str:
    """The objections in one line for a ground station, which has 50 bytes for it."""
    if not reasons:
        return f"{NAME}: ready"
    more = f" (+{len(reasons) - 1})" if len(reasons) > 1 else ""
    first = f"{NAME}: {reasons[0]}".encode("ascii", "replace").decode()
    return first[: 50 - len(more)] + more


def replied(state: ModeState, number: int, name: str, api: int, success: bool, place: ModePlace, now: float) -> ModeState:
    """After a RegisterExtComponentReply, which may answer others."""
    if (number, name) != (state.number, NAME) or state.place is not None:
        return state
    if not success:
        return state._replace(
            refusal=f"PX4 refused the mode {NAME}: PX4 is armed, or has eight external modes or arming checks already"
        )
    if api != API:
        return state._replace(refusal=f"found version {api} of PX4's interface for modes, wanted {API}")
    return state._replace(number=number + 1, place=place, heard=now, refusal="")


def asked(state: ModeState, mask: int | None, now: float) -> ModeState:
    """After an ArmingCheckRequest. mask: the numbers of arming checks that PX4 knows and hears; None: it does not tell."""
    known = state.place is not None and (mask is None or mask >> state.place.check & 1)
    return state._replace(heard=now) if known else state


def unmet(state: ModeState) -> list[Unmet]:
    """For the preflight."""
    if state.place is not None:
        return []
    why = f": {state.refusal}" if state.refusal else ""
    fix = "wait until PX4 is disarmed and in a mode of its own; check MicroXRCEAgent, and px4:= against PX4's version"
    return [Unmet(f"link uxrce_mode: PX4 has not registered the mode {NAME}{why}", fix)]


# --- fields of what is sent; a stamp of 0 stands for PX4's time of receipt ----------------------------------------------


def registration(state: ModeState) -> dict[str, Any]:
    """Fields of RegisterExtComponentRequest."""
    return {
        "timestamp": uxrce.NOW, "request_id": state.number, "name": name_bytes(), "px4_ros2_api_version": API,
        "register_arming_check": True, "register_mode": True,
    }  # fmt: skip


def farewell(place: ModePlace) -> dict[str, Any]:
    """Fields of UnregisterExtComponent."""
    ids = {"arming_check_id": place.check, "mode_id": place.mode, "mode_executor_id": -1}
    return {"timestamp": uxrce.NOW, "name": name_bytes(), **ids}


def configuration(place: ModePlace, layout: str) -> dict[str, Any]:
    """Fields of VehicleControlMode: which of PX4's loops run in the mode.

    flag_control_offboard_enabled: the pilot's sticks take over, as COM_RC_OVERRIDE says of OFFBOARD.
    """
    loops = ("control_rates_enabled", "control_allocation_enabled") if layout == "rates" else ()
    on = {"control_offboard_enabled", *loops}
    return {"timestamp": uxrce.NOW, **{f"flag_{flag}": flag in on for flag in _FLAGS}, "source_id": place.mode}


def answer(place: ModePlace, question: int, reasons: tuple[str, ...], silent: bool) -> dict[str, Any]:
    """Fields of ArmingCheckReply but its events. question: number of the ArmingCheckRequest."""
    return {
        "timestamp": uxrce.NOW, "request_id": question, "registration_id": place.check,
        "can_arm_and_run": not reasons, "num_events": len(events(reasons, silent)),
        **{f"mode_req_{need}": True for need in _NEEDS},
    }  # fmt: skip


def events(reasons: tuple[str, ...], silent: bool) -> list[dict[str, Any]]:
    """Fields of its Events."""
    name = SILENT_EVENT if silent else UNMET_EVENT
    return [{"timestamp": uxrce.NOW, "id": event_id(name), "log_levels": ERROR}] if reasons else []


def name_bytes() -> list[int]:
    """The name as char[25]."""
    return list(NAME.encode().ljust(NAME_BYTES, b"\0"))


def name_of(array: bytes) -> str:
    """The name in char[25]."""
    return array.split(b"\0")[0].decode("ascii", "replace")
