"""The companion's side of the link in virtual time: the autopilot's status, and how long packets take."""

import math
from collections.abc import Callable

from spike_ctrl.certification.flight_parts import VirtualClock
from spike_ctrl.certification.link_injection import LinkInjection, ProcessInjection
from spike_ctrl.flight.autopilot import Autopilot, Mode
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.px4.companion import MODES, TIMESYNC
from spike_ctrl.px4.link_delay import LinkDelay
from spike_ctrl.simulated_px4.vehicle import Vehicle

STATUS_PERIOD = 0.02  # s
RADIO = (2e-4, 8e-4)  # s that a packet takes, least and most


class VirtualCompanion:
    """What it knows of one autopilot. between: draws a time (s). A link that holds packets up keeps their order."""

    def __init__(
        self, clock: VirtualClock, vehicle: Vehicle, link: LinkInjection, processes: ProcessInjection,
        between: Callable[[tuple[float, float]], float],
    ) -> None:  # fmt: skip
        self.clock, self.vehicle, self.link, self.processes, self.between = clock, vehicle, link, processes, between
        self.status: Autopilot | None = None
        self.delay, self._ahead = LinkDelay(), 0.0  # s, of the vehicle's clock
        self._newest: tuple[float, Sample | None] = (-math.inf, None)  # the state that comes last, and when (s)
        self._last = -math.inf  # s, when the last command comes

    def begin(self, asks_time: bool) -> None:
        """Hear the status from now on. asks_time: with TIMESYNC, too."""
        self._send_status()
        if asks_time:
            self._ask_time()

    @property
    def _awake(self) -> bool:
        return self.processes.wakes("bridge", self.clock.now) <= self.clock.now

    def arrival(self, at: float, sample: Sample) -> float:
        """When (s) a state arrives that would at `at`."""
        self._ahead = sample.stamp - self.clock.now
        if self.link.held_up:
            self._newest = at, _ = max(at, self._newest[0]), sample
        return at

    def departure(self, at: float) -> float:
        """When (s) a command reaches the vehicle that would at `at`."""
        if self.link.held_up:
            at = self._last = max(at, self._last)
        return at

    def received(self, sample: Sample) -> Sample | None:
        """A state that arrives now, as the companion gives it on; None: of several that come at once it takes the newest."""
        now = self.clock.now
        if self._newest[0] == now and self._newest[1] is not sample:
            return None
        self.delay = self.delay.seen(sample.stamp, now)
        return sample._replace(received=now, ages=(self.delay.longest(now),) * 3)

    def _send_status(self) -> None:
        now = self.clock.now
        self.clock.at(now + STATUS_PERIOD, self._send_status)
        if not self._awake or self.link.cut(now):
            return
        vehicle = self.vehicle
        charge, voltage = vehicle.battery.charge, vehicle.battery.voltage
        status = Autopilot(
            now, now, MODES.get(vehicle.commander.mode, Mode.OTHER), vehicle.commander.armed, vehicle.land_detector.landed,
            math.nan if charge is None else charge, math.nan if voltage is None else voltage,
        )  # fmt: skip
        at = max(now + self.link.held("states", now), self._newest[0] if self.link.held_up else now)
        if at > now:
            self.clock.at(at, self._hear, status)
        else:
            self.status = status

    def _hear(self, status: Autopilot) -> None:
        self.status = status._replace(heard=self.clock.now, mode_heard=self.clock.now)

    def _ask_time(self) -> None:
        """TIMESYNC, by whose round trips the companion knows how long packets take."""
        now = self.clock.now
        self.clock.at(now + TIMESYNC, self._ask_time)
        if self._awake:
            self.delay = self.delay.asked(now)
        if self._awake and not self.link.cut(now) and (up := self.link.command(now)) is not None:
            there = now + self.between(RADIO) + up
            for down in self.link.states(there):
                self.clock.at(there + self.between(RADIO) + down, self._time_told, now, there + self._ahead)

    def _time_told(self, asked: float, there: float) -> None:
        if self._awake:
            self.delay = self.delay.answered(self.clock.now, self.clock.now - asked, there - asked)
