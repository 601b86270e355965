"""PX4's simulator interface without its socket: bytes in, bytes out, in lockstep. Equal inputs and seeds give equal outputs.

    simulation = Simulation(airframe)
    while True:
        send(simulation.advance())             # one sample; HIL_SENSOR comes last, because it moves PX4's clock
        while simulation.waiting: simulation.receive(...)

PX4's `simulator_mavlink` is the TCP client and sends first. The HIL_SENSOR of id 0 sets its clock, which starts at 0 with
the first. Once its rate controller runs, it answers each sample with one HIL_ACTUATOR_CONTROLS of the same time. The flags
are 1 where PX4 is built for lockstep. The controls are zeros while disarmed, and 0..1 for each motor while armed.
"""

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.px4 import dialect, frames
from spike_ctrl.px4.dialect import messages
from spike_ctrl.px4.mavlink import Reader, Writer
from spike_ctrl.simulated_px4.telemetry import MOTOR_ORDER
from spike_ctrl.simulated_px4.vehicle_settings import RotorFailure
from spike_ctrl_sitl.motor_body import Body, BodyMotion
from spike_ctrl_sitl.px4_hil.sensors import Fix, Place, Reading, Sensors, geodetic, specific_force

# HIL_SENSOR.fields_updated: PX4 takes a sensor only where all of its bits are set
ACCELEROMETER, GYRO, MAGNETOMETER, BAROMETER = 0b111, 0b111 << 3, 0b111 << 6, 1 << 9 | 1 << 11 | 1 << 12
SLOW_RATE, GPS_RATE, TRUTH_RATE = 50.0, 8.0, 125.0  # Hz: magnetometer and barometer; GPS; true state
AIRBORNE = 0.1  # m, least height of a vehicle that flies
LOCKSTEP = 1  # HIL_ACTUATOR_CONTROLS.flags
RATES = (250.0, 500.0)  # Hz, lowest and highest rate of the samples


class SimulationError(RuntimeError):
    """The other end is no PX4 in lockstep, or has stopped; one line with found and wanted."""


class Simulation:
    """One airframe under PX4's motor commands.

    rate: Hz, of the samples. noise: factor of the noise of all sensors. failure: of a rotor, so long after the lift-off.
    """

    def __init__(
        self, airframe: Airframe, rate: float = 250.0, seed: int = 0, noise: float = 1.0, place: Place = Place(),
        failure: RotorFailure | None = None,
    ) -> None:  # fmt: skip
        self.rate, self.place = rate, place
        self.failure, self.failed = failure, False
        if airframe.dead_time:
            raise UsageError(f"airframe {airframe.name}: dead_time: found {airframe.dead_time:g} s, wanted 0 beside PX4")
        self.body = Body(airframe, 1 / rate, math.pi / 2, fails=failure is not None)
        self.sensors = Sensors(place, noise, np.random.default_rng(seed))
        self.ticks = 0
        self.armed = self.begun = False  # begun: PX4's controllers run, and it answers every sample
        self.commands = (0.0, 0.0, 0.0, 0.0)  # in the airframe's order
        self.farthest = 0.0  # m from the start
        self._lifted_at = 0.0  # s
        self._answered = 0  # the newest sample that PX4 has answered
        self._reader = Reader(set(_TAKE), stream=True)
        self._writer = Writer(dialect.SYSTEM, 200)
        self._due = {"gps": 0.0, "truth": 0.0, "slow": 0.0}
        self._truth_interval = 1 / TRUTH_RATE

    @property
    def now(self) -> float:
        """Time of the simulation, s."""
        return self.ticks / self.rate

    @property
    def waiting(self) -> bool:
        """Whether PX4 has not answered the last sample yet."""
        return self.begun and self._answered < self.ticks

    @property
    def counts(self) -> Counter[str]:
        """Packets from PX4: those used, and the others by reason."""
        return self._reader.counts

    def receive(self, data: bytes) -> None:
        """Take bytes from PX4. Raises SimulationError where it is not in lockstep, or a command is not finite."""
        for received in self._reader.read(data, self.now):
            _TAKE[received.message.get_msgId()](self, received.message)

    def advance(self) -> bytes:
        """Move the vehicle by one sample under the last commands. Gives the packets for PX4."""
        self.body.advance(self.commands)
        self.ticks += 1
        motion = self.body.motion
        self.farthest = max(self.farthest, math.hypot(*motion.position))
        if motion.position[2] < AIRBORNE:
            self._lifted_at = self.now
        if (failure := self.failure) is not None and not self.failed and self.now - self._lifted_at >= failure.after:
            self.failed = True
            self.body.lose_rotor(failure.rotor, failure.share, failure.stuck)
        found = []
        if self._is_due("gps", 1 / GPS_RATE):
            found.append(hil_gps(self.sensors.fix(motion), self.now))
        if self._is_due("truth", self._truth_interval):
            found.append(hil_state(motion, self.place, self.now))
        fields = ACCELEROMETER | GYRO | (MAGNETOMETER | BAROMETER) * self._is_due("slow", 1 / SLOW_RATE)
        found.append(hil_sensor(self.sensors.read(motion, any(self.commands)), fields, self.now))
        return b"".join(self._writer.write(message, self.now) for message in found)

    def _is_due(self, name: str, interval: float) -> bool:
        if self.now < self._due[name] - 1e-9:
            return False
        self._due[name] = max(self._due[name] + interval, self.now)
        return True

    def _take_controls(self, m) -> None:
        if not m.flags & LOCKSTEP:
            wanted = f"{LOCKSTEP}: a PX4 built for lockstep"
            raise SimulationError(f"HIL_ACTUATOR_CONTROLS.flags: found {m.flags}, wanted {wanted}")
        self.armed = bool(m.mode & messages.MAV_MODE_FLAG_SAFETY_ARMED)
        self.commands = motors(m.controls) if self.armed else (0.0, 0.0, 0.0, 0.0)
        self.begun = True
        self._answered = max(self._answered, 1 + round(m.time_usec * 1e-6 * self.rate))

    def _take_command(self, m) -> None:
        """PX4 asks for the true state at an interval (us)."""
        asks = m.command == messages.MAV_CMD_SET_MESSAGE_INTERVAL
        if asks and m.param1 == messages.MAVLINK_MSG_ID_HIL_STATE_QUATERNION and m.param2 > 0:
            self._truth_interval = m.param2 * 1e-6


_TAKE = {
    messages.MAVLINK_MSG_ID_HIL_ACTUATOR_CONTROLS: Simulation._take_controls,
    messages.MAVLINK_MSG_ID_COMMAND_LONG: Simulation._take_command,
}


def motors(controls: Iterable[float]) -> tuple[float, ...]:
    """Commands in the airframe's order, from PX4's controls (front-right, back-left, front-left, back-right)."""
    found = [0.0] * 4
    for number, (ours, value) in enumerate(zip(MOTOR_ORDER, controls, strict=False)):
        if not math.isfinite(value):
            raise SimulationError(f"HIL_ACTUATOR_CONTROLS.controls[{number}]: found {value}, wanted 0 to 1")
        found[ours] = min(max(value, 0.0), 1.0)
    return tuple(found)


def hil_sensor(reading: Reading, fields: int, now: float) -> messages.MAVLink_message:
    """HIL_SENSOR of a reading. fields: the bits of its new values. now: s."""
    return messages.MAVLink_hil_sensor_message(
        _microseconds(now), *reading.accelerometer, *reading.gyro, *reading.magnetometer,
        reading.pressure, 0.0, reading.altitude, reading.temperature, fields, 0,
    )  # fmt: skip


def hil_gps(fix: Fix, now: float) -> messages.MAVLink_message:
    """HIL_GPS of a fix. now: s."""
    north, east, down = fix.velocity
    speed, course = math.hypot(north, east), math.degrees(math.atan2(east, north)) % 360
    return messages.MAVLink_hil_gps_message(
        _microseconds(now), 3, *_scaled((fix.latitude, fix.longitude), 1e7), round(1e3 * fix.altitude), 90, 178,
        min(round(100 * speed), 65534), *_short((north, east, down), 100), round(100 * course) % 36000, 12, 0, 0,
    )  # fmt: skip


def hil_state(motion: BodyMotion, place: Place, now: float) -> messages.MAVLink_message:
    """The true state, for PX4's logs."""
    latitude, longitude, altitude = geodetic(motion.position, place)
    force = specific_force(motion.acceleration, motion.quaternion)
    return messages.MAVLink_hil_state_quaternion_message(
        _microseconds(now), frames.ned_frd_from_enu_flu(motion.quaternion), *frames.frd_from_flu(motion.rates),
        *_scaled((latitude, longitude), 1e7), round(1e3 * altitude), *_short(frames.ned_from_enu(motion.velocity), 100),
        0, 0, *_short(force, 1e3 / 9.80665),
    )  # fmt: skip


def _microseconds(now: float) -> int:
    return round(1e6 * now)


def _scaled(values: Iterable[float], factor: float) -> list[int]:
    return [round(factor * value) for value in values]


def _short(values: Iterable[float], factor: float) -> list[int]:
    """In 16 bits."""
    return [min(max(number, -32767), 32767) for number in _scaled(values, factor)]
