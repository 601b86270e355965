"""The companion's side of the conversation with the autopilot: its requests, and what it knows. No sockets, no clock.

companion = Companion(Link(), rate_hz=100, parameters=("COM_OF_LOSS_T",))
for sample in companion.receive(datagram, now): ...
for packet in companion.due(now): socket.send(packet)     # some fifty times a second
companion.status()                                         # a flight.autopilot.Autopilot, None until it is known
"""

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from spike_ctrl.flight.autopilot import Ask, Autopilot, AutopilotLimits, Mode
from spike_ctrl.flight.estimate_quality import UNKNOWN_FLAGS, UNKNOWN_INNOVATIONS, EstimateQuality
from spike_ctrl.flight.force_consistency import ForceCheck, ForceLimits
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.px4 import dialect, link_events
from spike_ctrl.px4.dialect import CommandResult, Landed, messages
from spike_ctrl.px4.link import Link
from spike_ctrl.px4.link_delay import LinkDelay
from spike_ctrl.px4.preflight import Clock, EstimatorHealth, Heard

HEARTBEAT, ASK_AGAIN, TIMESYNC = 1.0, 0.5, 0.05  # s
RECENT = 2.0  # s in which rates are measured
STANDING = 300  # samples of a standing vehicle from which the wander of the estimate is measured
RESET_MEMORY = 10.0  # s
LINK_AGE = AutopilotLimits().link_age  # s without any packet, after which parameters are read again
PARAMETER_AGE = 10.0  # s, after which a value is read again while disarmed
ARMING_TIME = 0.2  # s after an accepted request to arm, in which a heartbeat may still report the state before it
REBOOT = 1.0  # s: if the autopilot's time jumps back by more, it has restarted; by less, packets overtook each other
CLOCK_MEMORY, CLOCK_LEAST = 160, 30  # answers to TIMESYNC for the clock: most, and least
PAUSES, PAUSE = 200, 0.03  # calls in which this computer's own lateness is looked for; s, a usual pause between two
MODE_RATE, LANDED_RATE, WORD_RATE = 50.0, 20.0, 5.0  # Hz
WORD_AGE = 1.5  # s, oldest valid ESTIMATOR_STATUS
MOST_PARAMETERS = 4096  # names that are kept: PX4 has some 1500, and a sender may make up others
MODE_LEAST = 1.0  # Hz: PX4 sends CURRENT_MODE twice a second and on changes; asking again would delay its receiver
STATUS_AGE, POWER_AGE = 3.0, 5.0  # s, oldest valid HEARTBEAT and EXTENDED_SYS_STATE, oldest valid SYS_STATUS
OVERDUE = {
    messages.MAVLINK_MSG_ID_HEARTBEAT: 1.5,
    messages.MAVLINK_MSG_ID_SYS_STATUS: 2.5,
}  # s, after which a message is requested
DROPPED = ("bad checksum", "unsigned", "bad signature", "replayed", "undecodable")
# PX4 reports a lost ground station only as text. The last two texts are those of older versions.
STATION_LOST = {
    "Connection to ground station lost": True,
    "GCS connection regained": False,
    "Data link lost": True,
    "Data link regained": False,
}
MODES: dict[int, Mode] = {
    dialect.PX4Mode.OFFBOARD: Mode.OFFBOARD,
    dialect.PX4Mode.AUTO_LOITER: Mode.HOLD,
    dialect.PX4Mode.AUTO_LAND: Mode.LAND,
    dialect.PX4Mode.AUTO_RTL: Mode.RETURN,
}
ASKED = {Ask.OFFBOARD: dialect.PX4Mode.OFFBOARD, Ask.HOLD: dialect.PX4Mode.AUTO_LOITER, Ask.LAND: dialect.PX4Mode.AUTO_LAND}


class Companion:
    """Keeps up the conversation with one autopilot.

    parameters: names that are requested until they come, and again while disarmed. force: how well a velocity must fit the
    accelerometer. Samples have tick 0; the bridge numbers them. commanded: the custom mode in which the autopilot flies our
    commands; a link may name another one than OFFBOARD. paced: the vehicle's time, which then is that of the flight, waits.
    """

    def __init__(
        self,
        link: Link,
        rate_hz: float,
        parameters: Sequence[str] = (),
        force: ForceLimits = ForceLimits(),
        paced: bool = False,
    ):
        self.link, self.rate_hz, self._paced = link, rate_hz, paced
        self._force_limits = force
        self.parameters: dict[str, float] = {}
        self.said: list[link_events.StatusText] = []  # the autopilot's texts for people; the reader empties the list
        self.heard: float | None = None
        self.position: tuple[float, float, float] | None = None
        self.commanded: int = dialect.PX4Mode.OFFBOARD
        self.version: link_events.Version | None = None  # of the firmware
        self._wanted = tuple(parameters)
        self._read = dict.fromkeys(self._wanted, -math.inf)  # s, when each parameter came or was last requested
        self._stamp, self._doubtful = -math.inf, False
        self._mode: link_events.FlightMode | None = None
        self._beat: link_events.FlightMode | None = None  # the last one with `armed`
        self._arming, self._armed = False, -math.inf  # arming was requested; s, when it was accepted
        self._landed: link_events.LandedState | None = None
        self._power: link_events.PowerStatus | None = None
        self._had_remote_control = self._station_lost = False
        self._word: link_events.EstimatorStatus | None = None
        self._quality = EstimateQuality()
        self._force = ForceCheck()
        self._samples: deque[float] = deque()
        self._words: deque[float] = deque()
        self._modes: deque[float] = deque()
        self._landings: deque[float] = deque()
        self._home: tuple[float, float, float] | None = None
        self._standing: deque[Sample] = deque(maxlen=STANDING)
        self._resets: deque[float] = deque()
        self._reset_counter: int | None = None
        self._delay = LinkDelay()
        self._offsets: deque[link_events.ClockOffset] = deque(maxlen=CLOCK_MEMORY)
        self._pauses: deque[float] = deque(maxlen=PAUSES)
        self._called = math.inf
        self._due = {"heartbeat": -math.inf, "ask": -math.inf, "timesync": -math.inf}

    # --- what is received -------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> list[Sample]:
        """The vehicle's states in these bytes. Everything else in them is remembered."""
        samples = []
        for event in self.link.receive(data, now):
            self._doubtful |= self.heard is not None and now - self.heard > LINK_AGE
            self.heard = now
            if isinstance(event, link_events.Odometry):
                samples.append(self._sample(event))
            else:
                self._take(event)
            if self._doubtful and self._disarmed:  # it may be another autopilot now, or have other values
                self.parameters.clear()
                self._doubtful = False
        return samples

    def _sample(self, event: link_events.Odometry) -> Sample:
        self._samples.append(event.now)
        if self._reset_counter not in (None, event.reset_counter):
            self._resets.append(event.now)
        self._reset_counter = event.reset_counter
        self._doubtful |= event.stamp < self._stamp - REBOOT
        self._stamp = event.stamp
        self._delay = self._delay.seen(event.stamp, event.now)
        self.position = event.position
        word = self._word if self._word is not None and event.now - self._word.now <= WORD_AGE else _NO_WORD
        told = (event.horizontal, event.vertical, event.failed, word.flags, word.innovations, event.variances)
        sample = Sample(
            0, event.stamp, event.now, event.position, event.quaternion, event.velocity, event.rates,
            event.reset_counter, (self._delay.longest(event.now),) * 3, EstimateQuality(*told),
        )  # fmt: skip
        self._force, sample = self._force.judged(sample, self._force_limits)
        self._quality = sample.quality
        if self._disarmed:
            self._standing.append(sample)
            if all(map(math.isfinite, event.position)):
                self._home = event.position
        return sample

    def _take(self, event: link_events.Event) -> None:
        """Remember what an event says."""
        match event:
            case link_events.FlightMode(armed=None):
                self._mode = event
                self._modes.append(event.now)
            case link_events.FlightMode():
                self._mode = self._beat = event
            case link_events.PowerStatus():
                self._power = event
                self._had_remote_control |= event.remote_control
            case link_events.LandedState():
                self._landed = event
                self._landings.append(event.now)
            case link_events.EstimatorStatus():
                self._word = event
                self._words.append(event.now)
            case link_events.SpecificForce():
                self._force = self._force.felt(event.force, event.now, self._force_limits)
            case link_events.ParameterReading():
                if len(self.parameters) < MOST_PARAMETERS or event.name in self.parameters:
                    self.parameters[event.name], self._read[event.name] = event.value, event.now
            case link_events.Acknowledged(command=messages.MAV_CMD_COMPONENT_ARM_DISARM, result=CommandResult.ACCEPTED):
                if self._arming:
                    self._arming, self._armed = False, event.now
            case link_events.ClockOffset():
                self._offsets.append(event)
                self._delay = self._delay.answered(event.now, event.round_trip, event.offset + event.round_trip / 2)
            case link_events.Version():
                self.version = event
            case link_events.StatusText():
                self.said.append(event)
                self._station_lost = STATION_LOST.get(event.text, self._station_lost)

    # --- what is known ----------------------------------------------------------------------------------------------

    def status(self) -> Autopilot | None:
        """The status at its last packet. Where armed or landed are older than STATUS_AGE, the mode counts as just as old."""
        if self.heard is None or self._mode is None or self._beat is None or self._landed is None:
            return None
        oldest = min(self._beat.now, self._landed.now)
        modes = MODES | {dialect.PX4Mode.OFFBOARD: Mode.OTHER, self.commanded: Mode.OFFBOARD}
        power = self._fresh_power or link_events.PowerStatus(0.0, False, None, None)
        return Autopilot(
            heard=self.heard,
            mode_heard=self._mode.now if self.heard - oldest <= STATUS_AGE else min(self._mode.now, oldest),
            mode=modes.get(self._mode.mode, Mode.OTHER),
            armed=not self._disarmed,
            landed=self._landed.state is Landed.ON_GROUND,
            battery=math.nan if power.charge is None else power.charge,
            voltage=math.nan if power.voltage is None else power.voltage,
            rc_lost=self._had_remote_control and not power.remote_control,
            ground_station_lost=self._station_lost,
            dropped=sum(self.link.counts[name] for name in DROPPED),
        )

    @property
    def custom_mode(self) -> int | None:
        """The autopilot's mode as HEARTBEAT has it; None while unknown."""
        return None if self._mode is None else self._mode.mode

    @property
    def _disarmed(self) -> bool:
        """By the heartbeat, once a second. An accepted request to arm counts before the heartbeat shows it."""
        return self._beat is not None and not self._beat.armed and self._beat.now - self._armed > ARMING_TIME

    @property
    def ready(self) -> bool:
        """Whether all checks of the autopilot before arming pass, as far as it reports them.

        PX4 reports whether it would arm in its present mode. It would not in LAND and RTL, nor in OFFBOARD without a stream
        of set-points, the mode in which it is after a landing. In these modes its report is not used.
        """
        mode = self._mode.mode if self._mode is not None else None
        landing, waiting = mode in (dialect.PX4Mode.AUTO_LAND, dialect.PX4Mode.AUTO_RTL), mode == self.commanded
        return self._fresh_power is not None and (self._fresh_power.ready or landing or (waiting and self._disarmed))

    @property
    def _fresh_power(self) -> link_events.PowerStatus | None:
        """The last SYS_STATUS; None before the first, and after it has stopped."""
        if self._power is None or self.heard is None or self.heard - self._power.now > POWER_AGE:
            return None
        return self._power

    def state_rate(self, now: float) -> float:
        """Rate (Hz) of the states in the last two seconds."""
        return _rate(self._samples, now)

    def estimator(self, now: float) -> EstimatorHealth | None:
        """The estimator's health. Its wander is that of the vehicle when it last stood disarmed, else NaN."""
        if self._fresh_power is None:
            return None
        while self._resets and now - self._resets[0] > RESET_MEMORY:
            self._resets.popleft()
        if len(self._standing) < STANDING:
            return EstimatorHealth(self.ready, resets=len(self._resets), quality=self._quality)
        x, y, z = np.std([sample.position for sample in self._standing], axis=0).tolist()
        speed = max(math.hypot(*sample.velocity) for sample in self._standing)
        return EstimatorHealth(self.ready, math.hypot(x, y), z, len(self._resets), speed, self._quality)

    def clock(self) -> Clock | None:
        """The clocks, from the quicker half of the last answers. The slower ones were delayed by this computer."""
        if len(self._offsets) < CLOCK_LEAST:
            return None
        quick = sorted(self._offsets, key=lambda answer: answer.round_trip)[: (len(self._offsets) + 1) // 2]
        times, offsets = (np.array([getattr(answer, name) for answer in quick]) for name in ("now", "offset"))
        drift, offset = np.polyfit(times - times[0], offsets, 1)
        spread = float(np.ptp(offsets - offset - drift * (times - times[0])))
        return Clock(quick[-1].round_trip, spread, 1.0 + float(drift), max(0.0, max(self._pauses, default=0.0) - PAUSE))

    def heard_of(self, now: float) -> Heard:
        """Everything that the preflight needs."""
        known = (dict(self.parameters), self.estimator(now), self.clock(), self.status(), self.position)
        version = None if self.version is None else (self.version.major, self.version.minor)
        return Heard(*known, self.state_rate(now), self._home, tuple(sorted(self.link.others)), version)

    def want(self, names: Sequence[str]) -> None:
        """From now on these parameters are requested, and no others."""
        self._wanted = tuple(names)
        self._read = {name: self._read.get(name, -math.inf) for name in self._wanted}

    # --- what is sent -----------------------------------------------------------------------------------------------

    def due(self, now: float) -> list[bytes]:
        """All packets that are due at `now` (s). A pause between two calls shows that this computer is late."""
        self._pauses.append(now - self._called)
        self._called = now
        packets = []
        if self._late("heartbeat", HEARTBEAT, now):
            packets.append(self.link.heartbeat(now))
        if self.heard is None:
            return packets
        if self._late("timesync", TIMESYNC, now):
            if not self._paced:  # else time goes on by whole states while an answer is on its way
                self._delay = self._delay.asked(now)
            packets.append(self.link.timesync(now))
        if self._late("ask", ASK_AGAIN, now):
            packets += self._questions(now)
        return packets

    def _questions(self, now: float) -> list[bytes]:
        """Requests for missing streams, for missing parameters, and while disarmed for the oldest parameter."""
        names = [name for name in self._wanted if name not in self.parameters]
        if not names and self._wanted and self._disarmed:
            oldest = min(self._wanted, key=self._read.__getitem__)
            if now - self._read[oldest] > PARAMETER_AGE:
                names, self._read[oldest] = [oldest], now  # without an answer the others come first
        packets = [self.link.get_parameter(name, now) for name in names]
        if self.version is None:
            packets.append(self.link.request(messages.MAVLINK_MSG_ID_AUTOPILOT_VERSION, now))
        for number, asked, least, found in (
            (messages.MAVLINK_MSG_ID_ODOMETRY, self.rate_hz, 0.8 * self.rate_hz, self.state_rate(now)),
            (messages.MAVLINK_MSG_ID_CURRENT_MODE, MODE_RATE, MODE_LEAST, _rate(self._modes, now)),
            (messages.MAVLINK_MSG_ID_ESTIMATOR_STATUS, WORD_RATE, 0.5 * WORD_RATE, _rate(self._words, now)),
            (messages.MAVLINK_MSG_ID_EXTENDED_SYS_STATE, LANDED_RATE, 0.8 * LANDED_RATE, _rate(self._landings, now)),
        ):
            if found < least:
                packets.append(self.link.stream(number, asked, now))
        for number, last in zip(OVERDUE, (self._beat, self._power), strict=True):
            if last is None or now - last.now > OVERDUE[number]:
                packets.append(self.link.request(number, now))
        return packets

    def ask(self, ask: Ask, now: float) -> bytes:
        """The packet that asks the autopilot for a mode, or to arm."""
        if ask is Ask.ARM:
            self._arming = True
            return self.link.arm(now)
        return self.link.set_mode(self.commanded if ask is Ask.OFFBOARD else ASKED[ask], now)

    def _late(self, name: str, period: float, now: float) -> bool:
        if now - self._due[name] < period:
            return False
        self._due[name] = now
        return True


_NO_WORD = link_events.EstimatorStatus(-math.inf, UNKNOWN_FLAGS, UNKNOWN_INNOVATIONS)


def _rate(times: deque[float], now: float) -> float:
    while times and now - times[0] > RECENT:
        times.popleft()
    return len(times) / RECENT
