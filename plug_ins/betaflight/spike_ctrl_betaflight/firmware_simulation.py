"""Our dynamics behind Betaflight's SITL: its motor commands in, IMU and truth out, and the pilot's receiver.

Each step sends the IMU, grants the firmware as much of its time as the step takes (vehicle_time.py), and takes the motor
command that it found in that time. So the firmware's time is the vehicle's, on a busy computer and at any speed. The
firmware also finds a pace for its clock from the stamps of two packets; stamps that are UNHEEDED or more apart leave it as
it is, which is 1.
"""

import socket
from collections.abc import Callable, Sequence

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl_betaflight import sitl_packets
from spike_ctrl_betaflight.sitl_packets import SensedMotion
from spike_ctrl_sitl.motor_body import Body

HOST = "127.0.0.1"
RATE = 1000.0  # Hz, of steps and IMU packets
UNHEEDED = 0.05  # s between two stamps
REMOTE_PERIOD = 0.004  # s, of the receiver's frames
GYRO_NOISE, FORCE_NOISE = 0.01, 0.05  # rad/s and m/s^2, standard deviation of a sample, for an option `noise` of 1


class FirmwareSimulation:
    """One airframe behind the firmware. grant: see VehicleTime. yaw_kept: see sitl_packets.state.

    channels: what the pilot's remote control sends, pulses (us) of roll, pitch, throttle, yaw and switches; anybody may
    replace it. linked: False loses the receiver.
    """

    def __init__(
        self,
        airframe: Airframe,
        grant: Callable[[float], None],
        yaw_kept: bool,
        rate: float = RATE,
        noise: float = 0.0,
        seed: int = 0,
    ):
        self.body, self.dt, self.grant, self.yaw_kept = Body(airframe, 1 / rate), 1 / rate, grant, yaw_kept
        self.noise, self._draws = noise, np.random.default_rng(seed)
        self.channels: Sequence[int] = (1500, 1500, 1000, 1500, 1000, 1000, 1000)
        self.linked = True
        self.commands: tuple[float, ...] = (0.0,) * 4
        self.steps = self.heard = 0
        self.sensed = sitl_packets.sensed_of(self.body.motion)
        self._remote_due = 0.0
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
        """One step. Raises UsageError where the firmware has ended."""
        packet = sitl_packets.state(UNHEEDED * self.steps, self._noisy(self.sensed), self.yaw_kept)
        self._out.sendto(packet, (HOST, sitl_packets.STATE))
        self._remote()
        self.body.advance(self.commands)  # meanwhile the firmware's thread takes the packet
        self.steps += 1
        self.sensed = sitl_packets.sensed_of(self.body.motion)
        self.grant(self.dt)
        self._hear()

    def _hear(self) -> None:
        """Take the motor commands that have come; the newest one counts."""
        while True:
            try:
                self.commands = sitl_packets.motors(self._in.recv(256))
            except BlockingIOError:
                return
            self.heard += 1

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
