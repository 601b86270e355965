"""The simulated vehicle without its sockets: time and datagrams in, datagrams out. Equal inputs and seeds give equal output.

All times are the vehicle's (s). The caller may let them run faster than the clock.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.px4 import dialect, frames, parameter_rules
from spike_ctrl.px4.dialect import CommandResult, Landed, PX4Mode, messages
from spike_ctrl.px4.frames import Vector
from spike_ctrl.px4.mavlink import Reader, Received, Writer
from spike_ctrl.px4.signing import Signing
from spike_ctrl.sim.sensor_noise import SensorSettings
from spike_ctrl.simulated_px4 import cascade, hover_thrust, offboard_setpoints, vehicle_commands
from spike_ctrl.simulated_px4.battery_monitor import Battery
from spike_ctrl.simulated_px4.cascade import IDLE, CascadeTarget, MotorCommand, RateCommand, StateEstimate
from spike_ctrl.simulated_px4.commander import OWN_MODES, WARNING, Commander, CommanderInputs, LandDetector
from spike_ctrl.simulated_px4.estimator import Estimator
from spike_ctrl.simulated_px4.hover_thrust import HoverThrust
from spike_ctrl.simulated_px4.navigator import Navigator
from spike_ctrl.simulated_px4.plant import TICK, Plant
from spike_ctrl.simulated_px4.simulated_parameters import AutopilotParameters, ParameterService
from spike_ctrl.simulated_px4.telemetry import STREAMS, Schedule, Snapshot
from spike_ctrl.simulated_px4.vehicle_commands import Answers
from spike_ctrl.simulated_px4.vehicle_settings import RotorFailure

ONBOARD, STATION = "onboard", "station"  # the ports of the companion and of the ground station
WARM_UP = 2.0  # s, until the estimate is good enough to arm
HOVER_TICKS = 2  # between two steps of the estimate of the hover thrust
STATUS_PERIOD = 0.5  # s, longest time between two publications of PX4's status
_DIRECT = (RateCommand, MotorCommand)  # what needs no cascade

Packets = list[tuple[str, bytes]]


class Vehicle:
    """One vehicle on the ground, commanded over MAVLink as PX4 is, and by its motors where that is its airframe's layout.

    parameters: of the autopilot, where they are not PX4's or those of the airframe's thrust. yaw: of its nose, rad from
    east; PX4's simulation starts to the north. noise: factor of all sensor noise, 1 as in PX4's simulation. latency: delay
    of received packets, s. speed: factor of the vehicle's time against the clock. signing: for each port with a signed
    link. system: MAV_SYS_ID. sensors: of the estimate, see `Estimator`. failure: of a rotor.
    """

    def __init__(
        self,
        airframe: Airframe,
        seed: int = 0,
        parameters: Mapping[str, int | float] | None = None,
        noise: float = 1.0,
        latency: float = 0.0,
        speed: float = 1.0,
        yaw: float = math.pi / 2,
        signing: Mapping[str, Signing] | None = None,
        system: int = dialect.SYSTEM,
        sensors: SensorSettings | None = None,
        failure: RotorFailure | None = None,
    ):
        self.now, self.system = 0.0, system
        self.farthest = 0.0  # m, largest true distance from the start
        self.parameters = AutopilotParameters(parameter_rules.thrust_changes(airframe) | dict(parameters or {}))
        self.plant = Plant(airframe, yaw)
        self.estimator = Estimator(noise, np.random.default_rng(seed), sensors)
        self.battery = Battery()
        self.radio_works = True  # the remote control reaches the vehicle
        self.commander = Commander(self.parameters, speed)
        self.land_detector = LandDetector()
        self.latency, self.speed = latency, speed
        self.said: list[tuple[float, str]] = []  # time and text of all its messages for people
        signing = signing or {}
        wanted = {*_HANDLERS, messages.MAVLINK_MSG_ID_TIMESYNC}
        self.readers = {port: Reader(wanted, signing=signing.get(port)) for port in (ONBOARD, STATION)}
        self._writers = {port: Writer(system, dialect.COMPONENT, signing.get(port)) for port in (ONBOARD, STATION)}
        self.schedules = {
            ONBOARD: Schedule({number: stream.onboard for number, stream in STREAMS.items()}),
            STATION: Schedule({number: stream.station for number, stream in STREAMS.items()}),
        }
        self.navigator = Navigator()
        self._carries = self.parameters["MPC_THR_HOVER"]  # the thrust that its own modes take for that of a hover
        self.hover_thrust = HoverThrust(self._carries)
        self._mode: PX4Mode | None = None  # the mode in control; None while the motors are off
        self._integral, self._wind = (0.0, 0.0, 0.0), (0.0, 0.0)
        self._command = IDLE
        self._takes_motors = airframe.action_layout == "motors"
        self._setpoint: offboard_setpoints.Setpoint = IDLE
        self._setpoint_at = self._station_at = self.armed_at = -math.inf
        self.shown, self.answered = -1, -math.inf  # ms: its newest state; the newest one that was answered
        self._ticks = 0
        self._failure, self._lifted_at = failure, 0.0
        self._arrived: list[tuple[float, str, Received]] = []
        self._answers: Answers = []  # sent in this tick
        self.late_answers: Answers = []  # sent in the next tick
        self._parameter_service = ParameterService(self.parameters)
        self._status_told: dict[str, tuple[object, float]] = {}  # by port: the last CURRENT_MODE and its time
        self.estimate_anew()

    def begin_in_the_air(self, position: Vector, wind: Vector = (0.0, 0.0, 0.0)) -> None:
        """Hover in OFFBOARD at a position (m) in a wind (m/s^2), as after a take-off. The next set-point must come now."""
        self.plant.hover_at(position, wind)
        self.estimate_anew()
        self.commander.begin_in_the_air()
        self.land_detector.landed = False
        self.take(RateCommand(parameter_rules.hover_thrust(self.plant.airframe), (0.0, 0.0, 0.0)))

    def estimate_anew(self) -> None:
        """The estimator follows the plant's motion as it is now: at first, and after it was put elsewhere, or thrown."""
        self.truth = self.plant.state  # the true state
        self.estimate = self.estimator.advance(self.truth, False, self.parameters)  # the autopilot's own

    def receive(self, port: str, data: bytes, now: float) -> Packets:
        """A datagram that arrived at a port. It acts at the next tick; only TIMESYNC does at once, where it is a question.

        As an answer it carries the vehicle's time of the newest state that is answered (`Link.answered`).
        """
        packets = []
        for received in self.readers[port].read(data, now / self.speed):
            message = received.message
            if message.get_msgId() == messages.MAVLINK_MSG_ID_TIMESYNC:
                if message.tc1 == 0:
                    answer = messages.MAVLink_timesync_message(round(now * 1e9), message.ts1)
                    packets.append((port, self._pack(port, answer, now)))
                else:
                    self.answered = max(self.answered, round(1e-6 * message.tc1))
            else:
                self._arrived.append((now + self.latency, port, received))
        return packets

    def advance(self, now: float) -> Packets:
        """All ticks up to `now` (s). Gives the packets that they send."""
        packets: Packets = []
        while (self._ticks + 1) * TICK <= now + 1e-9:
            self.tick()
            packets += self._outgoing()
        return packets

    def tick(self) -> None:
        """One tick that sends nothing."""
        self._ticks += 1
        self.now = self._ticks * TICK
        self._answers, self.late_answers = self.late_answers, []
        if self._arrived:
            self._take_arrived()
        self.commander.update(self.seen, self.now)
        command, motors = self._control(), None
        if isinstance(command, MotorCommand):
            motors, command = command.motors, RateCommand(command.thrust, (0.0, 0.0, 0.0))
        self._command, running, (thrust, rates) = command, self.commander.running, command
        if self._wind != (wind := (self.parameters["SIH_WIND_N"], self.parameters["SIH_WIND_E"])):
            self._wind = wind
            self.plant.blow(*wind)
        limited, noise = min(max(thrust, 0.0), 1.0), self.estimator.gyro_noise
        if motors is None and self._ticks % HOVER_TICKS == 0:
            self._estimate_hover(limited)
        self.plant.advance(limited, rates, running, noise, self.parameters["MC_AIRMODE"], motors)
        self.truth = self.plant.state
        self.farthest = max(self.farthest, math.hypot(*self.truth.position))
        self.estimate = self.estimator.advance(self.truth, running, self.parameters)
        self.battery.advance(self.commander.armed, self.parameters, TICK)
        if self.plant.airframe.battery:
            charge, voltage = self.plant.battery
            self.battery.measure(charge, voltage + self.estimator.voltage_error())
        if self._failure is not None:
            self._fail(self._failure)
        landing = self.commander.mode in OWN_MODES or not running
        self.land_detector.update(self.truth.position[2] <= 0, thrust, self.plant.airframe.hover, landing, self.now)

    def _estimate_hover(self, thrust: float) -> None:
        """Its own modes use the estimate once it is sure, and the parameter before."""
        prior, estimate = self.parameters["MPC_THR_HOVER"], self.estimate
        if self.land_detector.landed:
            self.hover_thrust, self._carries = HoverThrust(prior), prior
            return
        height = estimate.position[2] - self.navigator.home[2]
        seen = estimate.quaternion, self.estimator.acceleration, height, estimate.velocity[2]
        self.hover_thrust = hover_thrust.follow(self.hover_thrust, prior, thrust, *seen, self.now, HOVER_TICKS * TICK)
        if self.hover_thrust.used(self.now):
            before, self._carries = self._carries, self.hover_thrust.value
            if any(self._integral):  # the thrust stays the same where the velocity is as wanted
                x, y, z = self._integral
                self._integral = x, y, (z + GRAVITY) * before / self._carries - GRAVITY

    def _fail(self, failure: RotorFailure) -> None:
        """A rotor fails once the vehicle has been in the air for long enough."""
        if self.land_detector.landed:
            self._lifted_at = self.now
        elif self.now - self._lifted_at >= failure.after:
            self.plant.lose_rotor(failure.rotor, failure.share, stuck=failure.stuck)
            self.commander.said.append((WARNING, f"Simulation: {failure}"))
            self._failure = None

    def _take_arrived(self) -> None:
        """Obey the packets that have arrived by now."""
        due = [entry for entry in self._arrived if entry[0] <= self.now]
        self._arrived = [entry for entry in self._arrived if entry[0] > self.now]
        for _, port, received in due:
            if self._for_us(received.message):
                _HANDLERS[received.message.get_msgId()](self, port, received)

    @property
    def seen(self) -> CommanderInputs:
        """What the commander decides by."""
        now, (x, y, z), home = self.now, self.estimate.position, self.navigator.home
        roll, pitch = frames.roll_pitch(self.estimate.quaternion)
        ready, unheard = now >= WARM_UP and self.battery.working, not self.radio_works
        return CommanderInputs(
            now - self._setpoint_at, now - self._station_at, self.land_detector.landed, ready, self.battery.charge,
            math.hypot(x - home[0], y - home[1]), z - home[2], roll, pitch,
            unheard and self.parameters["COM_RC_IN_MODE"] == 0,
        )  # fmt: skip

    def _control(self) -> RateCommand | MotorCommand:
        mode = self.commander.mode
        if not self.commander.running:
            self._mode, self._integral = None, (0.0, 0.0, 0.0)
            return IDLE
        if mode != self._mode:
            self._mode = mode
            self.navigator.begin(mode, self.estimate, self.parameters, self.now)
        if mode == PX4Mode.OFFBOARD:
            return self._follow(self._setpoint)
        on_ground = self.land_detector.landed
        spooling = self.now - self.armed_at < self.parameters["COM_SPOOLUP_TIME"]
        if on_ground and (mode != PX4Mode.AUTO_TAKEOFF or spooling):
            return IDLE
        if mode == PX4Mode.AUTO_TAKEOFF and self.navigator.arrived(self.estimate):
            self.commander.takeoff_done()
            self._mode = self.commander.mode  # it holds the same place
        target = self.navigator.target(self.estimate, self.parameters, self.now, TICK)
        if self.estimator.position_valid:
            return self._follow(target)
        return self._to_place(*cascade.without_place(self.estimate, target, self._integral))

    def _to_place(self, estimate: StateEstimate, target: CascadeTarget, integral: Vector) -> RateCommand:
        command, self._integral = cascade.position_command(estimate, target, integral, self.parameters, self._carries, TICK)
        return command

    def _follow(self, setpoint: offboard_setpoints.Setpoint) -> RateCommand | MotorCommand:
        if isinstance(setpoint, CascadeTarget):
            return self._to_place(self.estimate, setpoint, self._integral)
        self._integral = 0.0, 0.0, 0.0  # as in PX4, whose modes share it, and which forgets it without position control
        if isinstance(setpoint, _DIRECT):
            return setpoint
        thrust, quaternion = setpoint
        return cascade.attitude_command(self.estimate.quaternion, quaternion, thrust, self.parameters)

    # --- what is sent -----------------------------------------------------------------------------------------------

    def _outgoing(self) -> Packets:
        found = [*self._answers]
        said, self.commander.said = self.commander.said, []
        self.said += [(self.now, text) for _, text in said]
        for severity, text in said:
            found += [(port, messages.MAVLink_statustext_message(severity, text[:50].encode())) for port in self._writers]
        found += self._parameter_service.due()
        snapshot = None
        for port, schedule in self.schedules.items():
            for number in schedule.due(self.now):
                if number == messages.MAVLINK_MSG_ID_CURRENT_MODE and not self._has_mode_news(port):
                    continue
                snapshot = snapshot or self.snapshot()
                if number == messages.MAVLINK_MSG_ID_ODOMETRY and port == ONBOARD:
                    self.shown = round(1e3 * self.now)
                found.append((port, STREAMS[number].make(snapshot)))
        return [(port, self._pack(port, message, self.now)) for port, message in found]

    def _has_mode_news(self, port: str) -> bool:
        """PX4 sends CURRENT_MODE when it publishes its status: on every change, and twice a second."""
        status = (self.commander.mode, self.commander.intended, self.commander.armed, self.commander.failsafe)
        before, at = self._status_told.get(port, (None, -math.inf))
        if status == before and self.now - at < STATUS_PERIOD:
            return False
        self._status_told[port] = (status, self.now)
        return True

    def _pack(self, port: str, message: messages.MAVLink_message, now: float) -> bytes:
        return self._writers[port].write(message, now / self.speed)

    def snapshot(self) -> Snapshot:
        """What telemetry tells of the vehicle now."""
        c, (p, q, r), (a, b, d) = self.commander, self.truth.rates, self.estimator.gyro_noise
        return Snapshot(
            self.now, self.truth, self.estimate, (p + a, q + b, r + d), self.estimator.acceleration,
            self.estimator.reset_counter, self.estimator.quality, self._command, c.mode, c.intended, c.armed, c.failsafe,
            c.terminated, self._landed(), c.against_arming(self.seen) is None, self.battery.voltage, self.battery.charge,
            self.parameters["COM_RC_IN_MODE"] == 0 and self.radio_works, self._takes_motors,
        )  # fmt: skip

    def _landed(self) -> Landed:
        if self.land_detector.landed:
            return Landed.ON_GROUND
        if self.commander.mode == PX4Mode.AUTO_TAKEOFF:
            return Landed.TAKING_OFF
        return Landed.LANDING if self.commander.mode in OWN_MODES and self.navigator.landing else Landed.IN_AIR

    # --- what is received -------------------------------------------------------------------------------------------

    def _for_us(self, m: messages.MAVLink_message) -> bool:
        """Whether a message is for this vehicle or, as HEARTBEAT, for all. PX4 does not answer others."""
        system, component = getattr(m, "target_system", 0), getattr(m, "target_component", 0)
        return system in (0, self.system) and component in (0, dialect.COMPONENT)

    def _set_attitude_target(self, port: str, received: Received) -> None:
        self.take(offboard_setpoints.of_attitude_target(received.message))

    def _set_position_target(self, port: str, received: Received) -> None:
        self.take(offboard_setpoints.of_position_target(received.message, self.parameters["MPC_XY_CRUISE"]))

    def _set_actuator_target(self, port: str, received: Received) -> None:
        if self._takes_motors:
            self.take(offboard_setpoints.of_actuator_target(received.message))

    def take(self, setpoint: offboard_setpoints.Setpoint | None) -> None:
        """A set-point of OFFBOARD arrives."""
        if setpoint is not None and self.parameters["MAV_FWDEXTSP"] == 1:
            self._setpoint, self._setpoint_at = setpoint, self.now

    def _heartbeat(self, port: str, received: Received) -> None:
        if received.message.type == messages.MAV_TYPE_GCS:
            self._station_at = self.now

    def _command_long(self, port: str, received: Received) -> None:
        m = received.message
        if m.command == messages.MAV_CMD_DO_SET_MODE:
            self._acknowledge(port, received, CommandResult.ACCEPTED, self._answers)  # the true result follows
            self._acknowledge(port, received, vehicle_commands.set_mode(self, m), self.late_answers)
            return
        act = vehicle_commands.COMMANDS.get(m.command)
        result = act(self, port, m) if act else CommandResult.UNSUPPORTED
        self._acknowledge(port, received, result, self._answers)

    def _acknowledge(self, port: str, received: Received, result: CommandResult, queue: Answers) -> None:
        command, to = received.message.command, (received.system, received.component)
        queue.append((port, messages.MAVLink_command_ack_message(command, result, 0, 0, *to)))

    def _param_request_read(self, port: str, received: Received) -> None:
        if answer := self._parameter_service.read(received.message):
            self._answers.append((port, answer))

    def _param_set(self, port: str, received: Received) -> None:
        answer, complaint = self._parameter_service.set(received.message)
        if complaint:
            self.commander.said.append((3, complaint))
        if answer:
            self._answers.append((port, answer))


_HANDLERS: dict[int, Callable[[Vehicle, str, Received], None]] = {
    messages.MAVLINK_MSG_ID_SET_ATTITUDE_TARGET: Vehicle._set_attitude_target,
    messages.MAVLINK_MSG_ID_SET_POSITION_TARGET_LOCAL_NED: Vehicle._set_position_target,
    messages.MAVLINK_MSG_ID_SET_ACTUATOR_CONTROL_TARGET: Vehicle._set_actuator_target,
    messages.MAVLINK_MSG_ID_HEARTBEAT: Vehicle._heartbeat,
    messages.MAVLINK_MSG_ID_COMMAND_LONG: Vehicle._command_long,
    messages.MAVLINK_MSG_ID_PARAM_REQUEST_READ: Vehicle._param_request_read,
    messages.MAVLINK_MSG_ID_PARAM_REQUEST_LIST: lambda vehicle, port, _: vehicle._parameter_service.begin_list(port),
    messages.MAVLINK_MSG_ID_PARAM_SET: Vehicle._param_set,
}
