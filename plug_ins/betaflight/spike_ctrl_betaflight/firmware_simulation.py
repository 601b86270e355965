"""Our dynamics behind Betaflight's SITL: its motor commands in, IMU and truth out, and the pilot's receiver.

Between two IMU packets the firmware's clock runs as fast as the stamps of the last two did over the real time between them:
the stamps set its pace, not its time. Stamps that are UNHEEDED or more apart leave it as it is, which is 1 at its start.

Real time: steps are due by the clock of this computer, and those that are made up for leave as one packet. The stamps are
unheeded: on a busy computer packets wait, and are read in a burst, which would make the firmware's clock jump.
Lockstep: a step waits for the motor command that answers its packet, and the pace is what keeps the firmware's clock with
the vehicle's, which is slower than real time on a busy computer. Firmware that was compiled with
ENABLE_SIMULATOR_GYROPID_SYNC runs its controllers once for each packet; other firmware may run them more often, so that its
controllers see a longer time than the vehicle where this computer is late.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl_betaflight import sitl_packets
from spike_ctrl_betaflight.flown_body import FlownBody
from spike_ctrl_betaflight.sitl_packets import SensedMotion

HOST = "127.0.0.1"
RATE = 1000.0  # Hz, of steps and IMU packets; in lockstep the firmware's controllers must run as often
UNHEEDED = 0.05  # s between two stamps
REMOTE_PERIOD = 0.004  # s, of the receiver's frames
MOST_STEPS = 50  # that are made up for after a pause of this process; a longer one stretches the simulation's time
PATIENCE, RESEND = 3.0, 0.2  # s, for an answer in lockstep; until a packet is sent again
AHEAD, SMOOTH = 0.1, 0.02  # share by which the firmware's clock may be too fast; of a step in its mean
GYRO_NOISE, FORCE_NOISE = 0.01, 0.05  # rad/s and m/s^2, standard deviation of a sample, for an option `noise` of 1


class FirmwareClock(NamedTuple):
    """The firmware's clock as the stamps of our packets drive it. Times in s.

    told_at: real time of the last packet. pace: seconds of its clock per second since then. step: by which its clock has
    lately gone on in each step, as far as it can be known here.
    """

    told_at: float
    pace: float
    stamp: float = 0.0
    step: float = 0.0

    def told(self, at: float) -> FirmwareClock:
        """After a packet at the real time `at`."""
        passed = self.pace * (at - self.told_at)
        return self._replace(told_at=at, stamp=self.stamp + passed, step=self.step + SMOOTH * (passed - self.step))

    def paced(self, wanted: float, most: float) -> FirmwareClock:
        """With a pace at which it goes on by `wanted` in each step, at most `most`.

        The controllers run after that time at the earliest, so that a pace that is too low does not show: it is always
        raised again.
        """
        factor = 0.98 if self.step > (1 + AHEAD) * wanted else 1.01
        return self._replace(pace=min(max(factor * self.pace, 0.05), most))


class FirmwareSimulation:
    """One airframe behind the firmware. yaw_kept: see sitl_packets.state. speed: seconds of its time per second.

    channels: what the pilot's remote control sends, pulses (us) of roll, pitch, throttle, yaw and switches; anybody may
    replace it. linked: False loses the receiver. moved: called with the time (s) and motion after each step.
    """

    def __init__(
        self,
        airframe: Airframe,
        yaw_kept: bool,
        speed: float = 1.0,
        rate: float = RATE,
        noise: float = 0.0,
        seed: int = 0,
        moved: Callable[[float, SensedMotion], None] | None = None,
    ):
        self.body, self.dt, self.yaw_kept, self.speed = FlownBody(airframe, 1 / rate), 1 / rate, yaw_kept, speed
        self.noise, self._draws = noise, np.random.default_rng(seed)
        self.channels: Sequence[int] = (1500, 1500, 1000, 1500, 1000, 1000, 1000)
        self.linked, self.moved = True, moved
        self.commands: tuple[float, ...] = (0.0,) * 4
        self.steps = self.heard = self.unanswered = 0
        self.lost = 0.0  # s by which this process was too late
        self.sensed = self.body.sensed
        self._remote_due, self._paced = 0.0, speed != 1
        self._clock = FirmwareClock(time.monotonic(), speed)
        self._in = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._in.bind((HOST, sitl_packets.PULSES))
        except OSError as error:
            raise UsageError(f"port {sitl_packets.PULSES}: {error.strerror}: its ports are fixed") from None
        self._in.setblocking(False)
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    @property
    def now(self) -> float:
        """Time of the simulation, s."""
        return self.steps * self.dt

    def advance(self) -> None:
        """One step in lockstep. Raises UsageError where the firmware has stopped answering."""
        self._paced, self._clock = True, self._clock.paced(self.dt, self.speed)
        self._tell()
        begun = time.monotonic()
        while not self._hear(RESEND):  # a packet that the firmware took before its last answer had left is not answered
            self.unanswered += 1
            if time.monotonic() > begun + PATIENCE:
                raise UsageError(f"firmware: no motor command for {PATIENCE:g} s: it has ended, or its clock stands")
            self._tell()
        self._move()
        self._remote()

    def run(self, ended: threading.Event) -> None:
        """Step in real time until `ended`."""
        begun, first = time.monotonic(), self.steps
        while not ended.is_set():
            now = self.speed * (time.monotonic() - begun)
            due = int((now - self.lost) / self.dt) - (self.steps - first)
            if due > MOST_STEPS:
                self.lost += (due - MOST_STEPS) * self.dt
                due = MOST_STEPS
            for _ in range(due):
                self._hear(0.0)
                self._move()
            if due:
                self._tell()
                self._remote()
            ended.wait(self.dt / 2 / self.speed)

    def _tell(self) -> None:
        self._clock = self._clock.told(time.monotonic())
        stamp = self._clock.stamp if self._paced else UNHEEDED * self.steps
        packet = sitl_packets.state(stamp, self._noisy(self.sensed), self.yaw_kept)
        self._out.sendto(packet, (HOST, sitl_packets.STATE))

    def _hear(self, patience: float) -> bool:
        """Whether a motor command has come; the newest one counts."""
        if patience and not select.select([self._in], [], [], patience)[0]:
            return False
        found = False
        while True:
            try:
                self.commands = sitl_packets.motors(self._in.recv(256))
            except BlockingIOError:
                return found
            found, self.heard = True, self.heard + 1

    def _move(self) -> None:
        self.body.advance(self.commands)
        self.steps += 1
        self.sensed = self.body.sensed
        if self.moved is not None:
            self.moved(self.now, self.sensed)

    def _remote(self) -> None:
        if self.now >= self._remote_due:
            self._remote_due = self.now + REMOTE_PERIOD
            if self.linked:
                packet = sitl_packets.remote(self.now, self.channels)
                self._out.sendto(packet, (HOST, sitl_packets.REMOTE))

    def _noisy(self, sensed: SensedMotion) -> SensedMotion:
        if not self.noise:
            return sensed
        p, q, r, x, y, z = (self.noise * self._draws.standard_normal(6)).tolist()
        (a, b, c), (d, e, f) = sensed.rates, sensed.force
        rates = (a + GYRO_NOISE * p, b + GYRO_NOISE * q, c + GYRO_NOISE * r)
        return sensed._replace(rates=rates, force=(d + FORCE_NOISE * x, e + FORCE_NOISE * y, f + FORCE_NOISE * z))

    def close(self) -> None:
        """Close its sockets."""
        self._in.close()
        self._out.close()
