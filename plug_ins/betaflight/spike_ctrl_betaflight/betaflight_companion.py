"""The companion's side of the conversation with Betaflight: its requests, and what it knows. No sockets, no clock.

It stands where `px4.companion.Companion` stands beside PX4, and is asked the same. What Betaflight has not is done here:

- The states are the poses from outside, each with the gyro's rates, which are asked for when the pose comes.
- The mode is OFFBOARD where MSP override is on, in rate mode, and the stack has asked for it; HOLD and LAND where the keeper
  flies; OTHER where the pilot flies. The override and arming are the pilot's switches. Nothing is armed or disarmed here.
- Override that nobody asked for is held by the keeper, so that its switch may be used at any time in the air.
- Commands that stop end in a landing by the keeper. Poses that stop end in silence, after the vehicle was levelled:
  firmware of 2026.6 and later then gives it back to the pilot; older firmware flies the last command, level and sinking.
- So do poses that turn otherwise than the gyro, which a frozen motion capture makes, or drift against their own velocity:
  the keeper has no others. A jump is no drift: the keeper holds a place by the poses before it, and one by those after it.
- Older firmware flies by the last frame at once when the override is switched on: it is told idle, or level at the hover.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from spike_ctrl.airframe import Airframe
from spike_ctrl.flight.autopilot import Ask, Autopilot, Mode
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.state_consistency import Consistency, ConsistencyLimits, follow
from spike_ctrl_betaflight import commands, msp, rates
from spike_ctrl_betaflight.commands import FoundHover
from spike_ctrl_betaflight.ground import Ground
from spike_ctrl_betaflight.keeper import IDLE, Keeper
from spike_ctrl_betaflight.msp import MspError, Packet
from spike_ctrl_betaflight.options import BetaflightOptions
from spike_ctrl_betaflight.pose import OutsidePose, PoseTrack

SETTLED = (msp.API_VERSION, msp.FC_VARIANT, msp.FC_VERSION, msp.BOXIDS, msp.RX_MAP)  # asked for until they come
SETTINGS = (
    msp.RC_TUNING,
    msp.RX_CONFIG,
    msp.RC_DEADBAND,
    msp.FAILSAFE_CONFIG,
    msp.ADVANCED_CONFIG,
    msp.BATTERY_CONFIG,
)  # and again while disarmed
PERIODS = {msp.STATUS_EX: 0.05, msp.RC: 0.1, msp.ATTITUDE: 0.05, msp.BATTERY_STATE: 0.5}  # s
FIRST, AGAIN = 0.5, 5.0  # s, between two requests of what has not come, and of a setting while disarmed
FRESH_API = (1, 48)  # from this API on (Betaflight 2026.6) an override that has stopped ends after 0.3 s
COMMANDS_LOST = 0.2  # s without a command in OFFBOARD, then the keeper lands
POSES_LOST = 0.15  # s without a pose, then nobody can fly
LEVELLED = 0.7  # s after that, in which the vehicle is levelled for the pilot; old firmware flies level on
LIFTS = 0.7  # of the hover's command: from it on the vehicle may take off
LEAP = 0.2  # m between two poses: a jump, and no drift
BLIND_TILT, BLIND_THRUST = 3.0, -0.1  # 1/s, from tilt to body rate; collective of a level descent without a pose
STANDBY = 0.05  # s between frames to old firmware or a mixer while the override is off: flown when it is switched on
EARLY = 0.5  # share of a period by which a state may come before it is due: poses come at other rates
JUMP = 1.0  # s between two stamps of poses
RECENT = 2.0  # s in which rates are measured
LIMITS = ConsistencyLimits()  # the supervisor's
STANDING = 512  # forces of a standing vehicle from which 1 g is measured


class MspTalk(NamedTuple):
    """What the bridge asks of a link. counts: of packets. companion: whose last words `attitude` are."""

    counts: Counter[str]
    companion: BetaflightCompanion

    def attitude(self, thrust: float, attitude: Sequence[float], now: float) -> bytes:
        """Level, a little below the hover: the last command of a bridge that ends in the air."""
        return self.companion.blind(now)

    def answered(self, stamp: float, now: float) -> bytes:
        """For a simulation that waits for it."""
        return msp.answered(stamp)


class BetaflightCompanion:
    """Keeps up the conversation with one flight controller. send: takes bytes for it. rate: Hz of states, at most."""

    def __init__(self, airframe: Airframe, options: BetaflightOptions, rate: float, send: Callable[[bytes], None]):
        self.airframe, self.options, self.rate, self.send = airframe, options, rate, send
        self.link = MspTalk(Counter(), self)
        self.said: list[Any] = []
        self.heard: float | None = None
        self.hover = FoundHover(options.hover)
        self.known: dict[int, bytes] = {}  # the newest answer to each command
        self.curves: tuple[rates.RateCurve, ...] | None = None
        self.throttle = commands.Throttle(options.idle)
        self.track = PoseTrack()
        self.imu = msp.Imu((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
        self.status_now: msp.Status | None = None
        self.battery: msp.MspBattery | None = None
        self.latencies: deque[float] = deque(maxlen=200)  # s, of the IMU's answers
        self.problem = ""  # of settings that cannot be flown with
        self._asked: dict[int, float] = {}
        self._status_heard = -math.inf
        self._wanted: Mode | None = None  # what the stack asked for last
        self._keeper: Keeper | None = None
        self._sample: Sample | None = None
        self._consistency = Consistency()
        self._untrue: float | None = None  # s, since when nobody flies by the poses, until the pilot has flown
        self._commanded, self._last_command = -math.inf, 0.055  # s; motor command
        self._imu_asked = self._imu_due = -math.inf
        self._waits: OutsidePose | None = None  # a pose whose rates have not come yet
        self._ground = Ground()
        self._was_overriding = False
        self._samples: deque[float] = deque()
        self._gravity: deque[float] = deque(maxlen=STANDING)

    # --- what is received -------------------------------------------------------------------------------------------

    def receive(self, data: Sequence[Packet | OutsidePose], now: float) -> list[Sample]:
        """The vehicle's states in these answers and poses. Everything else in them is remembered."""
        found = []
        for item in data:
            if isinstance(item, OutsidePose):
                self._take_pose(item, now)
                continue
            self.heard = now
            self.link.counts["used"] += 1
            try:
                if item.ok:
                    found += self._take(item, now)
                else:
                    self.link.counts[f"refused {item.command}"] += 1
            except (MspError, IndexError, ValueError):
                self.link.counts["undecodable"] += 1
        return found

    def _take_pose(self, pose: OutsidePose, now: float) -> None:
        before = self.track.last
        self.track = self.track.seen(pose)
        period, due = 1 / self.rate, self._imu_due
        if abs(pose.stamp - due) > JUMP:  # the first, or their clock has jumped
            due = pose.stamp
        if self.track.last is before or pose.stamp < due - EARLY * period:
            return
        self._imu_due = max(due, pose.stamp - period) + period
        self._waits, self._imu_asked = self.track.last, now
        self.send(msp.request(msp.RAW_IMU))

    def _take(self, packet: Packet, now: float) -> list[Sample]:
        command, payload = packet.command, packet.payload
        self.known[command] = payload
        match command:
            case msp.RAW_IMU:
                return self._take_imu(msp.imu(payload), now)
            case msp.STATUS_EX:
                self.status_now, self._status_heard = msp.status(payload), now
                self._follow_override(now)
            case msp.RC if not self.overriding:
                self._last_command = self.throttle.command(msp.channels(payload)[3])  # the pilot's, by which it hovers
            case msp.BATTERY_STATE:
                self.battery = msp.battery(payload)
            case msp.RC_TUNING | msp.RC_DEADBAND | msp.RX_CONFIG:
                self._set_curves()
        return []

    def _set_curves(self) -> None:
        if not {msp.RC_TUNING, msp.RC_DEADBAND, msp.RX_CONFIG} <= self.known.keys():
            return
        profile, receiver = msp.rate_profile(self.known[msp.RC_TUNING]), msp.receiver(self.known[msp.RX_CONFIG])
        dead, yaw_dead = self.known[msp.RC_DEADBAND][:2]
        self.throttle = commands.Throttle(self.options.idle, receiver.min_check)
        kind = rates.KINDS[profile.kind]
        try:
            numbers = profile.rc_rates, profile.rates, profile.expo, profile.limits
            self.curves, self.problem = rates.curves(kind, *numbers, dead, yaw_dead), ""
        except ValueError as error:
            self.curves, self.problem = None, str(error)

    def _take_imu(self, imu: msp.Imu, now: float) -> list[Sample]:
        self.imu = imu
        if self.disarmed:
            self._gravity.append(math.hypot(*imu.force))
        elif self.airborne and self.gravity and self._sample and self._ground.high(self._sample.position[2]):
            self.hover = self.hover.felt(imu.force[2] / self.gravity, self._last_command, now)
        pose, self._waits = self._waits, None
        if pose is None:
            return []
        self.latencies.append(now - self._imu_asked)
        self._samples.append(now)
        age = max(0.0, now - pose.received)
        sample = Sample(
            0, pose.stamp, now, pose.position, pose.quaternion, pose.velocity or (0.0, 0.0, 0.0), imu.rates,
            0, (age, age, now - self._imu_asked),
        )  # fmt: skip
        self._sample = sample
        lifts = self.armed and self._last_command > LIFTS * self.hover.command
        self._ground = self._ground.seen(sample, self.disarmed, lifts)
        self._keep(sample, now)
        return [sample]

    # --- who flies --------------------------------------------------------------------------------------------------

    def _follow_override(self, now: float) -> None:
        """The pilot's switch: off, nothing that was asked for counts any more; on, the keeper holds until it is asked."""
        overriding = self.overriding
        if not overriding:
            self._wanted, self._keeper, self._untrue = None, None, None
        elif not self._was_overriding and self._wanted is None:
            self._wanted = Mode.HOLD
        self._was_overriding = overriding

    def _keep(self, sample: Sample, now: float) -> None:
        """Fly HOLD and LAND, and land where commands have stopped. On the ground the rotors idle."""
        last = self._consistency.last
        leaps = last is not None and math.dist(last.position, sample.position) > LEAP
        self._consistency = Consistency(sample) if leaps else follow(self._consistency, sample, LIMITS)[0]
        turned, drifted = math.hypot(*self._consistency.turned), math.hypot(*self._consistency.drifted)
        wrong = turned > LIMITS.attitude or drifted > LIMITS.drift
        if wrong and self.overriding and self.airborne and self._untrue is None:
            self._untrue = now
        if not self.overriding or self._untrue is not None:
            return
        if self._wanted is Mode.OFFBOARD and self.airborne and now - self._commanded > COMMANDS_LOST:
            self._wanted = Mode.LAND
        if self._wanted not in (Mode.HOLD, Mode.LAND):
            return
        if not self.airborne:
            self._keeper = None
            self._command(IDLE, now)
            return
        if self._keeper is None or self._keeper.mode is not self._wanted:
            self._keeper = Keeper(self.airframe, self._wanted, sample, self.rate)
        self._command(self._keeper.act(sample), now)

    def ask(self, ask: Ask, now: float) -> bytes:
        """Take a request of the supervisor. Arming is the pilot's."""
        if ask is not Ask.ARM and self.overriding:
            self._wanted = {Ask.OFFBOARD: Mode.OFFBOARD, Ask.HOLD: Mode.HOLD, Ask.LAND: Mode.LAND}[ask]
            if self._wanted is Mode.OFFBOARD:
                self._keeper, self._commanded = None, now
        return b""

    def command(self, action: Sequence[float], now: float) -> None:
        """Send a command of the supervisor, where it has asked for OFFBOARD; before that it only shows that it commands."""
        self._commanded = now
        if self._wanted is Mode.OFFBOARD:
            self._command(action, now)

    def _command(self, action: Sequence[float], now: float) -> None:
        if self._untrue is None and (pulses := self._pulses(action)):
            self._last_command = self.throttle.command(pulses[self.known[msp.RX_MAP][3]])
            self.send(msp.set_raw_rc(pulses))

    def blind(self, now: float) -> bytes:
        """Without a pose: level by the firmware's own attitude, a little below the hover. Bytes to send."""
        if msp.ATTITUDE not in self.known:
            return b""
        roll, pitch, _ = msp.attitude(self.known[msp.ATTITUDE])
        most = self.airframe.max_rates
        tilt = (-BLIND_TILT * roll / most[0], -BLIND_TILT * pitch / most[1])
        return self._frame((BLIND_THRUST, *(min(max(t, -1.0), 1.0) for t in tilt), 0.0))

    def _frame(self, action: Sequence[float]) -> bytes:
        """A frame that commands this action; empty before the settings are known."""
        pulses = self._pulses(action)
        return msp.set_raw_rc(pulses) if pulses else b""

    def _pulses(self, action: Sequence[float]) -> list[int]:
        """The pulses (us) of an action, in the receiver's order; none before the settings are known."""
        if self.curves is None or msp.RX_MAP not in self.known:
            return []
        order, most = tuple(self.known[msp.RX_MAP][:4]), self.airframe.max_rates
        return commands.pulses(action, most, self.curves, self.throttle, self.hover.command, order)

    # --- what is known ----------------------------------------------------------------------------------------------

    def _active(self, box: int) -> bool:
        return self.status_now is not None and self.status_now.active(box, self.known.get(msp.BOXIDS, b""))

    @property
    def armed(self) -> bool:
        return self._active(msp.ARM)

    @property
    def disarmed(self) -> bool:
        """Whether it says so; before it is heard neither this nor `armed`."""
        return self.status_now is not None and not self.armed

    @property
    def overriding(self) -> bool:
        """Whether the pilot's switch for MSP override is on, in rate mode and without a failsafe."""
        others = any(map(self._active, (msp.ANGLE, msp.HORIZON, msp.FAILSAFE)))
        return self._active(msp.OVERRIDE) and not others

    @property
    def airborne(self) -> bool:
        return self.armed and self._sample is not None and not self._ground.landed(self._sample.received)

    @property
    def gravity(self) -> float | None:
        """1 g in units of the accelerometer, None before it stood."""
        return sum(self._gravity) / len(self._gravity) if len(self._gravity) >= 20 else None

    @property
    def holds_last(self) -> bool:
        """Whether the firmware flies the last override for ever; behind a mixer it flies none."""
        if self.options.mixer:
            return False
        api = self.known.get(msp.API_VERSION, b"\0\0\0")
        return tuple(api[1:3]) < FRESH_API

    @property
    def version(self) -> tuple[int, ...] | None:
        """The firmware's version: (4, 5, 5) or (2026, 6, 1)."""
        found = self.known.get(msp.FC_VERSION)
        if found is None or len(found) < 3:
            return None
        return (found[0] + 2000 if found[0] >= 25 else found[0], found[1], found[2])

    @property
    def mode(self) -> Mode:
        if not self.overriding or self._untrue is not None:
            return Mode.OTHER
        if self._wanted is Mode.LAND and self.armed and not self.airborne:
            return Mode.OTHER  # it has landed, and the pilot disarms
        return self._wanted or Mode.OTHER

    def status(self) -> Autopilot | None:
        """As the supervisor sees an autopilot."""
        if self.heard is None or self.status_now is None or msp.BOXIDS not in self.known:
            return None
        charge, voltage = self._charge()
        return Autopilot(
            self.heard, self._status_heard, self.mode, self.armed, not self.airborne, charge, voltage,
            rc_lost="RXLOSS" in self.status_now.disabled or self._active(msp.FAILSAFE),
            dropped=self.link.counts["damaged"] + self.link.counts["undecodable"],
        )  # fmt: skip

    def _charge(self) -> tuple[float, float]:
        """Share of the charge and voltage (V): by the capacity where it is set, else by the voltage of a cell."""
        if self.options.battery == "assumed":
            return 1.0, 100.0
        if self.battery is None or self.battery.cells == 0:
            return math.nan, math.nan
        if self.battery.capacity:
            charge = 1 - self.battery.drawn / self.battery.capacity
        else:
            charge = (self.battery.voltage / self.battery.cells - 3.3) / 0.8
        return min(max(charge, 0.0), 1.0), self.battery.voltage

    def state_rate(self, now: float) -> float:
        """Rate (Hz) of the states in the last two seconds."""
        while self._samples and now - self._samples[0] > RECENT:
            self._samples.popleft()
        return len(self._samples) / RECENT

    # --- what is sent -----------------------------------------------------------------------------------------------

    def due(self, now: float) -> list[bytes]:
        """All packets that are due at `now` (s)."""
        found, last = [], self.track.last
        lost = math.inf if last is None else last.received + POSES_LOST
        lost = lost if self._untrue is None else min(lost, self._untrue)
        levels = now >= lost and (self.holds_last or now < lost + LEVELLED)
        if levels and self.overriding and self.armed and (packet := self.blind(now)):
            found.append(packet)
        stands_by = self.holds_last or bool(self.options.mixer)
        if stands_by and not self.overriding and now - self._asked.get(msp.SET_RAW_RC, -math.inf) >= STANDBY:
            self._asked[msp.SET_RAW_RC] = now
            found.append(self._frame((0.0, 0.0, 0.0, 0.0) if self.airborne else IDLE))
        for command in (*SETTLED, *SETTINGS, *PERIODS):
            missing = command not in self.known
            period = PERIODS.get(command, FIRST if missing else AGAIN)
            if (command in SETTLED and not missing) or (command in SETTINGS and not missing and not self.disarmed):
                continue
            if now - self._asked.get(command, -math.inf) >= period:
                self._asked[command] = now
                found.append(msp.request(command))
        return found

    def want(self, names: Sequence[str]) -> None:
        """Betaflight's settings have no names over MSP."""

    def heard_of(self, now: float) -> BetaflightCompanion:
        """What the preflight needs: this."""
        return self
