"""A flight of a certification beside Betaflight, in virtual time: the flight core, our companion, and the firmware's rules.

The core, plant and rate loop are those that certify a flight beside PX4. What differs is who flies: override frames of
the companion, its keeper for HOLD and LAND, the last frame of old firmware, the pilot's sticks. The sticks are level at the
hover. A pilot who finds the vehicle on the sticks, or flown by nobody, takes REACTION, and lands it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spike_ctrl.airframe import GRAVITY
from spike_ctrl.certification import moving_scenario
from spike_ctrl.certification.flight_bag import FlightBag
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.flight_parts import Competitors
from spike_ctrl.certification.injected_fault import AFTER, InjectedFault
from spike_ctrl.certification.moving_scenario import Scenario
from spike_ctrl.certification.virtual_companion import RADIO, VirtualCompanion
from spike_ctrl.flight.autopilot import Ask
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.px4.dialect import PX4Mode
from spike_ctrl.px4.frames import Quaternion, Vector
from spike_ctrl.simulated_px4 import vehicle_commands
from spike_ctrl.simulated_px4.cascade import RateCommand, StateEstimate
from spike_ctrl.simulated_px4.vehicle import WARM_UP as BOOTS
from spike_ctrl_betaflight import mocap_noise, msp
from spike_ctrl_betaflight.betaflight_companion import FRESH_API, BetaflightCompanion
from spike_ctrl_betaflight.msp import MspReader, Packet
from spike_ctrl_betaflight.options import BetaflightOptions
from spike_ctrl_betaflight.pose import OutsidePose

PLACE = "betaflight"
STALE = 0.3  # s after which newer firmware flies by the sticks
REACTION = 1.0  # s of a pilot
DUE = 0.02  # s between two looks at what is due
ARMS, GIVES = BOOTS + 0.1, BOOTS + 0.3  # s, when the pilot arms and gives a vehicle on the ground
FOUND = 0.05  # share by which the hover that the pilot has found by hand, as the page wants it, may be off
BOXIDS = bytes((msp.ARM, msp.ANGLE, msp.FAILSAFE, msp.OVERRIDE))
PILOTS_OWN = {"GF_MAX_HOR_DIST": 0.0, "GF_MAX_VER_DIST": 0.0, "COM_DISARM_PRFLT": 0.0, "COM_OF_LOSS_T": 1e6}
"""What PX4 would do of its own, and Betaflight does not."""
ACTUAL = struct.pack("<BBBBBBBBHBBBBBBHHHBB", 7, 0, 67, 67, 67, 0, 50, 0, 0, 0, 7, 7, 0, 0, 100, 1998, 1998, 1998, 3, 50)
KNOWN = {
    msp.FC_VARIANT: b"BTFL", msp.FC_VERSION: bytes((26, 6, 1)), msp.BOXIDS: BOXIDS, msp.RX_MAP: bytes((0, 1, 3, 2)),
    msp.RC_TUNING: ACTUAL, msp.RC_DEADBAND: bytes((0, 0, 5, 50, 0)),
    msp.RX_CONFIG: struct.pack("<BHHHBHH", 0, 1900, 1500, 1050, 0, 885, 2115), msp.ATTITUDE: bytes(6),
}  # fmt: skip


class PlayedFirmware:
    """Who flies, by the firmware's rules. fresh: it gives up an override that stops. Times in s."""

    def __init__(self, fresh: bool):
        self.fresh = fresh
        self.armed = self.given = self.piloted = False
        self.pulses: tuple[int, ...] | None = None
        self.heard = -math.inf

    def hear(self, data: bytes, now: float) -> None:
        """Requests that reach it. Only override frames matter."""
        for packet in MspReader(requests=True).read(data):
            if packet.command == msp.SET_RAW_RC:
                self.pulses, self.heard = struct.unpack("<4H", packet.payload[:8]), now

    def overridden(self, now: float) -> bool:
        """Whether it flies by the override."""
        held = self.pulses is not None and (not self.fresh or now - self.heard <= STALE)
        return self.given and not self.piloted and held

    def status(self) -> bytes:
        """MSP_STATUS_EX."""
        on = {msp.ARM: self.armed, msp.OVERRIDE: self.given and not self.piloted, msp.ANGLE: self.piloted}
        boxes = sum(1 << BOXIDS.index(box) for box, active in on.items() if active)
        return struct.pack("<HHHIBHBBBBIBH", 125, 0, 33, boxes, 0, 0, 4, 0, 0, 26, 0, 0, 0)


class VirtualMsp(VirtualCompanion):
    """Its status is our companion's, which hears the firmware's."""

    core: VirtualBetaflight

    def _send_status(self) -> None:
        core, now = self.core, self.clock.now
        self.clock.at(now + DUE, self._send_status)
        if not self._awake:
            return
        if not self.link.cut(now):
            core.hear([Packet(msp.STATUS_EX, core.firmware.status())])
        for packet in core.talk.due(now):
            core.sent(packet)
        self.status = core.talk.status()


class VirtualBetaflight(FlightCore):
    """One flight. fresh: as of PlayedFirmware. `fly` runs it."""

    def __init__(
        self,
        scenario: Scenario,
        who: Competitors,
        settings: FlightSettings,
        record: FlightBag | None = None,
        fresh: bool = True,
    ) -> None:
        super().__init__(scenario, who, settings, record)
        self.vehicle.parameters.update(PILOTS_OWN)
        self.firmware = PlayedFirmware(fresh)
        self.pose_dice = np.random.default_rng((scenario.seed, 3))
        self.stick = self.vehicle.plant.airframe.hover * float(self.pose_dice.uniform(1 - FOUND, 1 + FOUND))
        chosen = BetaflightOptions(hover=self.stick, battery="assumed")
        self.talk = BetaflightCompanion(who.airframe, chosen, 1 / settings.state.period, self.sent)
        api = bytes((0, *(FRESH_API if fresh else (1, 46))))
        self.talk.receive([Packet(command, payload) for command, payload in (KNOWN | {msp.API_VERSION: api}).items()], 0.0)
        self.poses = [fault for fault in scenario.struck(PLACE) if fault.kind.startswith("poses")]
        self._frozen: tuple[Vector, Quaternion, Vector] | None = None
        self._lost_since: float | None = None
        self.companion = VirtualMsp(self.clock, self.vehicle, self.link, self.processes, self.between)
        self.companion.core = self
        if scenario.grounded:
            self.clock.at(ARMS, self._arm)
            self.clock.at(GIVES, self._give)
        else:
            self._begin_given()
        for fault in scenario.struck(PLACE):
            if fault.kind.startswith("pilot"):
                self.clock.at(fault.at, self._pilot_takes)
                if math.isfinite(fault.until):
                    self.clock.at(fault.until, self._pilot_gives)

    # --- the pilot --------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        self.vehicle.take(RateCommand(0.0, (0.0, 0.0, 0.0)))
        self.vehicle.commander.request_mode(PX4Mode.OFFBOARD, self.vehicle.seen)
        vehicle_commands.arm(self.vehicle)
        self.firmware.armed = self.vehicle.commander.armed

    def _give(self) -> None:
        self.firmware.given = True

    def _begin_given(self) -> None:
        """In the air the stack has asked for OFFBOARD already."""
        self.firmware.armed = self.firmware.given = True
        self.talk.receive([Packet(msp.STATUS_EX, self.firmware.status())], 0.0)
        self.talk.ask(Ask.OFFBOARD, 0.0)
        self.talk.command((0.0, 0.0, 0.0, 0.0), 0.0)

    def _pilot_takes(self) -> None:
        self.firmware.piloted = True
        self.vehicle.commander.request_mode(PX4Mode.AUTO_LAND, self.vehicle.seen)

    def _pilot_gives(self) -> None:
        self.firmware.piloted = False
        self.vehicle.commander.request_mode(PX4Mode.OFFBOARD, self.vehicle.seen)

    def request_mode(self, mode: PX4Mode) -> None:
        """A pilot's mode is the pilot's sticks: the vehicle is taken over and landed."""
        self._pilot_takes()

    def missing(self, now: float) -> str:
        """The take-off waits until the pilot has armed the vehicle and given it."""
        return "" if self.talk.armed and self.talk.overriding else "the pilot"

    # --- who flies --------------------------------------------------------------------------------------------------

    def _measure(self, now: float) -> None:
        self.vehicle.estimate = self._outside(self.vehicle.estimate.rates)
        super()._measure(now)
        firmware, commander = self.firmware, self.vehicle.commander
        firmware.armed = commander.armed
        if commander.mode is not PX4Mode.OFFBOARD or not commander.armed:
            return
        flown = firmware.overridden(now)
        if flown and self.talk.curves is not None and firmware.pulses is not None:
            a, e, t, r = firmware.pulses
            rates = tuple(curve.rate(pulse) for curve, pulse in zip(self.talk.curves, (a, e, r), strict=True))
            self.vehicle.take(RateCommand(self.talk.throttle.command(t), (rates[0], rates[1], rates[2])))
        elif commander.took_off:
            self.vehicle.take(RateCommand(self.stick, (0.0, 0.0, 0.0)))
        self._watch(now, flown and now - firmware.heard <= STALE)

    def _watch(self, now: float, commanded: bool) -> None:
        """A pilot sees that nobody commands a vehicle in the air, and takes it."""
        if commanded or not self.vehicle.commander.took_off or not self.firmware.given:
            self._lost_since = None
            return
        self._lost_since = now if self._lost_since is None else self._lost_since
        if now - self._lost_since >= REACTION:
            self._pilot_takes()

    # --- the link ---------------------------------------------------------------------------------------------------

    def hear(self, data: Sequence[Packet | OutsidePose]) -> list[Sample]:
        """What reaches the companion now."""
        return self.talk.receive(data, self.clock.now)

    def sent(self, data: bytes) -> None:
        """An override frame of the companion reaches the firmware later, or never. Its questions are answered anyway."""
        now = self.clock.now
        if data[4] == msp.SET_RAW_RC and (delay := self.link.command(now)) is not None:
            at = self.companion.departure(now + self.between(RADIO) + delay + self.scenario.latency)
            self.clock.at(at, self._reach, data)

    def _reach(self, data: bytes) -> None:
        self.firmware.hear(data, self.clock.now)

    def _bridge_state(self, sample: Sample) -> None:
        """A state is a pose and the IMU's answer: the companion must make it of both."""
        now = self.clock.now
        if self.processes.wakes("bridge", now) > now or (seen := self._pose(sample, now)) is None:
            return
        force = [_counted(256 * f / GRAVITY) for f in self.vehicle.estimator.acceleration]
        rates = [_counted(math.degrees(r) * msp.LSB) for r in sample.rates]
        found = self.hear([seen, Packet(msp.RAW_IMU, struct.pack("<9h", *force, *rates, 0, 0, 0))])
        if found:
            super()._bridge_state(found[-1]._replace(quality=sample.quality))

    def _outside(self, rates: Vector) -> StateEstimate:
        """The truth as motion capture sees it, with the gyro's rates (rad/s): in place of an autopilot's estimate."""
        truth, draw = self.vehicle.truth, (self.scenario.noise * self.pose_dice.standard_normal(9)).tolist()
        return StateEstimate(*mocap_noise.measured(truth.position, truth.quaternion, truth.velocity, draw), rates)

    def _pose(self, sample: Sample, now: float) -> OutsidePose | None:
        """The pose as motion capture tells it. A fault of it loses, freezes or moves it."""
        place, turned, speed = sample.position, sample.quaternion, sample.velocity
        for fault in self.poses:
            if not fault.acts(now):
                self._frozen = None
                continue
            if fault.kind == "poses_stop" or (fault.kind == "poses_lost" and self.pose_dice.random() < fault.size):
                return None
            if fault.kind == "poses_stuck":
                self._frozen = self._frozen or (place, turned, speed)
                place, turned, speed = self._frozen
            elif fault.kind == "poses_jump":
                place = _moved(place, fault)
        return OutsidePose(sample.stamp, now, place, turned, speed)

    def _send(self, action: Sequence[float], now: float) -> None:
        self.talk.command(action, now)

    def _ask(self, ask: Ask) -> None:
        if self.processes.wakes("bridge", self.clock.now) <= self.clock.now:
            self.talk.ask(ask, self.clock.now)


def _counted(value: float) -> int:
    """As 16 bits carry it; what is no number is 0 there."""
    return round(min(max(value, -32768.0), 32767.0)) if math.isfinite(value) else 0


def _moved(place: Vector, fault: InjectedFault) -> Vector:
    x, y, z = (p + fault.size * d for p, d in zip(place, fault.direction, strict=True))
    return x, y, z


class LinkFault(NamedTuple):
    """How a fault of this link is drawn. size: least and most, in its unit. lasts: s."""

    size: tuple[float, float]
    lasts: tuple[float, float]
    unit: str = ""


KINDS = {
    "poses_stop": LinkFault((0.0, 0.0), (0.05, 20.0)),
    "poses_lost": LinkFault((0.2, 0.9), (0.5, 5.0), "share"),
    "poses_stuck": LinkFault((0.0, 0.0), (0.1, 5.0)),
    "poses_jump": LinkFault((0.1, 2.0), (0.1, 20.0), "m"),
    "pilot_takes": LinkFault((0.0, 0.0), (math.inf, math.inf)),
    "pilot_takes_and_gives": LinkFault((0.0, 0.0), (0.5, 2.0)),
}
FAMILIES = ("none", "policy", "guide", "link", "process", "operator", "state", "plant", "pair", PLACE)
"""Those of the table of what can fail that can befall this link, and its own."""


def scenario(seed: int, who: Competitors, settings: FlightSettings, family: str | None = None) -> Scenario:
    """The flight of this seed. family: one of FAMILIES; None: the seed's own. Motion capture has no estimator's resets."""
    family = family or FAMILIES[seed % len(FAMILIES)]
    known = "none" if family == PLACE else family
    plain = moving_scenario.draw_whole(seed, settings.cage, settings.envelope, known, moving_scenario.spread(who.airframe))
    plain = plain._replace(resets=())
    if family != PLACE:
        return plain
    dice = np.random.default_rng((seed, 4))
    name = str(dice.choice(sorted(KINDS)))
    kind, pointing = KINDS[name], dice.standard_normal(3)
    x, y, z = (pointing / np.linalg.norm(pointing)).tolist()
    at = float(dice.choice([aim.at for aim in plain.aims[:2]]) + dice.uniform(0.0, 3.0))
    until = at + float(dice.uniform(*kind.lasts)) if math.isfinite(kind.lasts[1]) else math.inf
    fault = InjectedFault(PLACE, name, at, until, float(dice.uniform(*kind.size)), (x, y, z), 0, int(dice.integers(2**31)))
    return plain._replace(family=PLACE, faults=(fault,), duration=at + AFTER)
