"""The commander of the simulated autopilot: arming, modes and failsafes by PX4's rules. Time is the vehicle's (s)."""

import math
from typing import NamedTuple

from spike_ctrl.px4.dialect import CommandResult, PX4Mode
from spike_ctrl.simulated_px4.simulated_parameters import AutopilotParameters

# s from COM_OF_LOSS_T to the change of mode; measured on PX4: 0.06 to 0.10 s
FAILSAFE_LATENCY = 0.065
OWN_MODES = (PX4Mode.AUTO_LOITER, PX4Mode.AUTO_TAKEOFF, PX4Mode.AUTO_RTL, PX4Mode.AUTO_LAND)
STICK_MODES = (PX4Mode.MANUAL, PX4Mode.ALTITUDE, PX4Mode.POSITION, PX4Mode.ACRO, PX4Mode.STABILIZED)
BREAKER_TERMINATION = 121212
CRITICAL, WARNING, INFO = 2, 4, 6

# Actions of a failsafe, in rising severity
NOTHING, HOLD, RETURN, LAND, TERMINATE, DISARM = range(6)
_MODES = {HOLD: PX4Mode.AUTO_LOITER, RETURN: PX4Mode.AUTO_RTL, LAND: PX4Mode.AUTO_LAND}
_WORDS = ("nothing", "hold", "return", "land", "terminate", "disarm")
# Actions by value of the parameters. For a lost offboard signal 0 to 2 choose a stick mode in PX4; there are no sticks here.
_OFFBOARD_LOSS: dict[float, int] = {0: RETURN, 1: RETURN, 2: RETURN, 3: RETURN, 4: LAND, 5: HOLD, 6: TERMINATE, 7: DISARM}
_DATA_LINK_LOSS: dict[float, int] = {0: NOTHING, 1: HOLD, 2: RETURN, 3: LAND, 5: TERMINATE, 6: DISARM}
_REMOTE_CONTROL_LOSS: dict[float, int] = {1: HOLD, 2: RETURN, 3: LAND, 5: TERMINATE, 6: DISARM}
_LOW_BATTERY: dict[float, int] = {2: LAND, 3: RETURN}
RCL_EXCEPT_OFFBOARD = 4
_FENCE: dict[float, int] = {0: NOTHING, 1: NOTHING, 2: HOLD, 3: RETURN, 4: TERMINATE, 5: LAND}


class CommanderInputs(NamedTuple):
    """What the commander decides by at each tick. Ages in s, infinite where nothing ever came."""

    setpoint_age: float
    station_age: float  # of the ground station's last heartbeat
    landed: bool
    ready: bool
    charge: float | None  # 0..1, of the battery
    home_distance: float  # m, horizontal
    home_height: float  # m
    roll: float  # rad
    pitch: float
    remote_control_lost: bool = False


class Commander:
    """Arming and modes. It starts disarmed in AUTO_LOITER.

    speed: the simulation's speed factor, by which PX4 multiplies its own time-outs. said: severity and text of messages for
    people.
    """

    def __init__(self, parameters: AutopilotParameters, speed: float = 1.0):
        self.parameters, self.speed = parameters, speed
        self.mode = self.intended = PX4Mode.AUTO_LOITER
        self.armed = self.terminated = self.took_off = self.station_lost = False
        self.said: list[tuple[int, str]] = []
        self._not_land = PX4Mode.AUTO_LOITER
        self._armed_since = 0.0
        self._landed_since: float | None = None
        self._failsafe = NOTHING
        self._wrong: set[str] = set()
        self._tilted: dict[str, float] = {}

    @property
    def failsafe(self) -> bool:
        """Whether a failsafe acts."""
        return self._failsafe != NOTHING

    @property
    def running(self) -> bool:
        """Whether the motors may turn."""
        return self.armed and not self.terminated

    def stream_alive(self, seen: CommanderInputs) -> bool:
        """Whether set-points stream within COM_OF_LOSS_T."""
        return seen.setpoint_age <= self.parameters["COM_OF_LOSS_T"] * self.speed

    # --- requests ---------------------------------------------------------------------------------------------------

    def request_mode(self, mode: PX4Mode | int, seen: CommanderInputs) -> CommandResult:
        """A mode that was asked for, and the answer."""
        if mode in STICK_MODES:
            self._say(CRITICAL, f"{PX4Mode(mode).name} refused: no manual control")
            return CommandResult.TEMPORARILY_REJECTED
        if mode not in (*OWN_MODES, PX4Mode.OFFBOARD):
            return CommandResult.DENIED
        if mode == PX4Mode.OFFBOARD and self.armed and not self.stream_alive(seen):
            self._say(CRITICAL, "OFFBOARD refused: no offboard signal")
            return CommandResult.TEMPORARILY_REJECTED
        self.intended = self.mode = PX4Mode(mode)
        self._failsafe = NOTHING
        if mode != PX4Mode.AUTO_LAND:
            self._not_land = self.mode
        return CommandResult.ACCEPTED

    def against_arming(self, seen: CommanderInputs) -> str | None:
        """Why it would not arm in its present mode; None: it would. SYS_STATUS reports this as PREARM_CHECK."""
        if not seen.ready:
            return "estimator not ready"
        if self.mode == PX4Mode.OFFBOARD and not self.stream_alive(seen):
            return "no offboard signal"
        return f"mode {self.mode.name}" if self.mode in (PX4Mode.AUTO_LAND, PX4Mode.AUTO_RTL) else None

    def arm(self, seen: CommanderInputs, now: float) -> CommandResult:
        """A request to arm, and the answer."""
        if self.armed:
            return CommandResult.ACCEPTED
        if refusal := self.against_arming(seen):
            self._say(CRITICAL, f"Arming denied: {refusal}")
            return CommandResult.TEMPORARILY_REJECTED
        self.armed, self.took_off, self.terminated = True, False, False
        self._armed_since, self._landed_since = now, None
        self._wrong.clear()
        self._tilted.clear()
        self._say(INFO, "Armed by external command")
        return CommandResult.ACCEPTED

    def disarm(self, seen: CommanderInputs, force: bool) -> CommandResult:
        """A request to disarm, and the answer. In the air only `force` disarms."""
        if self.armed and not seen.landed and not force:
            self._say(CRITICAL, "Disarming denied: not landed")
            return CommandResult.TEMPORARILY_REJECTED
        if self.armed:
            self._disarm("by external command")
        return CommandResult.ACCEPTED

    def takeoff_done(self) -> None:
        """Go from AUTO_TAKEOFF to AUTO_LOITER."""
        self.intended = self.mode = self._not_land = PX4Mode.AUTO_LOITER

    def begin_in_the_air(self) -> None:
        """Armed, in OFFBOARD, as after a take-off."""
        self.armed = self.took_off = True
        self.intended = self.mode = self._not_land = PX4Mode.OFFBOARD

    # --- each tick --------------------------------------------------------------------------------------------------

    def update(self, seen: CommanderInputs, now: float) -> None:
        """One tick: failsafes, and disarming after a landing."""
        self._watch_station(seen.station_age)
        if not self.armed:
            return
        self._look_for_faults(seen, now)
        self.took_off |= not seen.landed
        if not seen.landed:
            self._landed_since = None
            return
        since = self._landed_since = now if self._landed_since is None else self._landed_since
        p = self.parameters
        if self.armed:
            if not self.took_off and now - self._armed_since >= p["COM_DISARM_PRFLT"] > 0:
                self._disarm("by auto preflight disarming")
            elif self.took_off and now - since >= p["COM_DISARM_LAND"] > 0:
                self._disarm("by landing")

    def _watch_station(self, age: float) -> None:
        """Report a lost and a regained ground station with PX4's texts, armed or not."""
        lost = math.inf > age > self.parameters["COM_DL_LOSS_T"] * self.speed
        if lost != self.station_lost:
            self.station_lost = lost
            self._say(INFO, "Connection to ground station lost\t" if lost else "GCS connection regained\t")

    def _look_for_faults(self, seen: CommanderInputs, now: float) -> None:
        p = self.parameters
        age = p["COM_OF_LOSS_T"] * self.speed + FAILSAFE_LATENCY
        unheard = seen.setpoint_age > age and self.mode == PX4Mode.OFFBOARD
        charge = math.inf if seen.charge is None else seen.charge
        low, critical, empty = charge < p["BAT_LOW_THR"], charge < p["BAT_CRIT_THR"], charge < p["BAT_EMERGEN_THR"]
        beyond = 0 < p["GF_MAX_HOR_DIST"] < seen.home_distance or 0 < p["GF_MAX_VER_DIST"] < seen.home_height
        rolls, pitches = abs(seen.roll) > math.radians(p["FD_FAIL_R"]), abs(seen.pitch) > math.radians(p["FD_FAIL_P"])
        begins = unheard or low or critical or empty or beyond or rolls or pitches
        if not (begins or self.station_lost or seen.remote_control_lost or self._wrong or self._tilted):
            return  # all is well: a tick asks 250 times a second
        self._fault("offboard signal lost", unheard, _OFFBOARD_LOSS.get(p["COM_OBL_RC_ACT"], RETURN))
        self._fault("ground station lost", self.station_lost, _DATA_LINK_LOSS.get(p["NAV_DLL_ACT"], RETURN))
        lost = seen.remote_control_lost and not (
            self.mode == PX4Mode.OFFBOARD and int(p["COM_RCL_EXCEPT"]) & RCL_EXCEPT_OFFBOARD
        )
        self._fault("manual control lost", lost, _REMOTE_CONTROL_LOSS.get(p["NAV_RCL_ACT"], RETURN))
        act = p["COM_LOW_BAT_ACT"]
        self._fault("battery low", low, NOTHING)
        self._fault("battery critical", critical, _LOW_BATTERY.get(act, NOTHING))
        self._fault("battery at emergency level", empty, LAND if act in (2, 3) else NOTHING)
        self._fault("geofence breached", beyond, _FENCE.get(p["GF_ACTION"], HOLD))
        termination = NOTHING if p["CBRK_FLIGHTTERM"] == BREAKER_TERMINATION else TERMINATE
        for name, tilted, time in (("R", rolls, p["FD_FAIL_R_TTRI"]), ("P", pitches, p["FD_FAIL_P_TTRI"])):
            since = now
            if tilted:
                since = self._tilted.setdefault(name, now)
            else:
                self._tilted.pop(name, None)
            self._fault(f"attitude failure {name}", now - since > time, termination)

    def _fault(self, name: str, wrong: bool, action: int) -> None:
        """A failsafe acts when its fault begins. It ends only by a mode request, not with the fault."""
        if not wrong:
            if self._wrong:
                self._wrong.discard(name)
            return
        if name in self._wrong or not self.armed:
            return
        self._wrong.add(name)
        self._say(WARNING if action == NOTHING else CRITICAL, f"Failsafe: {name}, {_WORDS[action]}")
        current = LAND if self.mode == PX4Mode.AUTO_LAND else self._failsafe
        if action <= current:
            return
        self._failsafe = action
        if action == DISARM:
            self._disarm(f"by {name}")
        elif action == TERMINATE:
            self.terminated = True
        else:
            self.mode = _MODES[action]

    def _disarm(self, why: str) -> None:
        self.armed, self._failsafe = False, NOTHING
        if self.intended == PX4Mode.AUTO_LAND:
            self.intended = self._not_land
        self.mode = self.intended
        self._say(INFO, f"Disarmed {why}")

    def _say(self, severity: int, text: str) -> None:
        self.said.append((severity, text))


class LandDetector:
    """Landed is a vehicle on the ground with little thrust; measured on PX4 after some 3 s in OFFBOARD, else 1 s.

    Like PX4's, it takes a vehicle on the ground with more than LEAST thrust for flying: MPC_MANTHR_MIN plus 0.01.
    """

    LOW_THRUST, LEAST = 0.3, 0.09  # of hover; of all
    OFFBOARD_TIME, LANDING_TIME, AIRBORNE_TIME = 3.0, 1.0, 0.1  # s

    def __init__(self) -> None:
        self.landed = True
        self._since: float | None = None

    def update(self, on_ground: bool, thrust: float, hover: float, landing: bool, now: float) -> None:
        """One tick. thrust, hover: 0..1, of the set-point, 0 while the motors are off. landing: in a mode that lands."""
        if self.landed:
            changing, needed = not on_ground or thrust > self.LEAST, self.AIRBORNE_TIME
        else:
            changing = on_ground and (landing or thrust < self.LOW_THRUST * hover)
            needed = self.LANDING_TIME if landing else self.OFFBOARD_TIME
        if not changing:
            self._since = None
            return
        self._since = now if self._since is None else self._since
        if now - self._since >= needed:
            self.landed, self._since = not self.landed, None
