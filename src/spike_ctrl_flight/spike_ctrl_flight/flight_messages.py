"""Conversion between messages of a flight and the types of `spike_ctrl.flight`. `now`: monotonic time (s); stamps: ns."""

import math
from typing import Any

import numpy as np
from spike_ctrl_msgs import msg

from spike_ctrl._files.errors import UsageError
from spike_ctrl.control import trajectory
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight import autopilot, command_choice, setpoint
from spike_ctrl.flight.answer_checks import Answer, Identity
from spike_ctrl.flight.autopilot import Autopilot
from spike_ctrl.flight.bridge import observed
from spike_ctrl.flight.envelope import Envelope
from spike_ctrl.flight.estimate_quality import EstimateQuality
from spike_ctrl.flight.event_words import reason, told
from spike_ctrl.flight.ladder_state import Ladder
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.supervisor_state import SupervisorOutput
from spike_ctrl_ros.convert import fill, nanoseconds

MODES = {getattr(msg.AutopilotStatus, mode.name): mode for mode in autopilot.Mode}
ASKS = {getattr(msg.AutopilotRequest, ask.name): ask for ask in autopilot.Ask}
COPIED = ("armed", "landed", "battery", "voltage", "rc_lost", "ground_station_lost", "dropped")  # fields of the status
SAMPLED = ("tick", "position", "quaternion", "velocity", "rates", "reset_counter", "ages")  # fields of FlightState
# Fields of FlightState, in the order of EstimateQuality's
QUALITY = ("deviation", "height_deviation", "estimate_failed", "estimator_flags", "innovations")
COMMANDERS = {commander: getattr(msg.FlightCommand, commander.name) for commander in command_choice.CommandedBy}


def state_message(seen: Sample) -> msg.FlightState:
    fields = seen._asdict()
    del fields["stamp"], fields["received"], fields["quality"]
    told = dict(zip(QUALITY, seen.quality, strict=False))  # not the variances: they go into odometry
    return fill(msg.FlightState(), stamp=round(seen.stamp * 1e9), frame_id="odom", **fields, **told)


def vehicle_state(state: Sample, point: trajectory.SetPoint | None, on_ground: bool, guided: bool) -> msg.VehicleState:
    """A state as guide and policy observe it, relative to this set-point; without one, to its own position and yaw."""
    seen = observed(state, point)
    # On the ground every state starts an episode, so that no integral winds up before the take-off.
    flags = np.array([(msg.VehicleState.FIRST if on_ground else 0) | (msg.VehicleState.GUIDE if guided else 0)], np.uint8)
    stamp = round(state.stamp * 1e9)
    return fill(msg.VehicleState(), stamp=stamp, frame_id="odom", tick=state.tick, flags=flags, observation=seen[None])


def sample(message: msg.FlightState, now: float) -> Sample:
    quality = EstimateQuality(*(_plain(getattr(message, name)) for name in QUALITY))
    fields = {name: _plain(getattr(message, name)) for name in SAMPLED}
    return Sample(stamp=nanoseconds(message.header.stamp) * 1e-9, received=now, quality=quality, **fields)


def _plain(value: Any) -> Any:
    """A field of a message; an array as a tuple."""
    return tuple(value.tolist()) if isinstance(value, np.ndarray) else value


def answer(message: msg.VehicleAction, now: float) -> Answer:
    who = Identity(message.checkpoint_id, message.epoch)
    return Answer(message.tick, now, tuple(message.action), message.layout, who, tuple(message.spike_rate))


def status_message(
    status: Autopilot | None, heard: float | None, refused: int, now: float, stamp: int
) -> msg.AutopilotStatus:
    """The autopilot's status; None: it is not known. heard: time of its last packet. refused: commands not passed on."""
    age = math.inf if heard is None else now - heard
    known: dict[str, Any] = {"sent": round(now * 1e9), "heard": status is not None, "heard_age": age, "refused": refused}
    if status is not None:
        known |= {name: getattr(status, name) for name in COPIED}
        known |= {"mode": getattr(msg.AutopilotStatus, status.mode.name), "mode_age": now - status.mode_heard}
    return fill(msg.AutopilotStatus(), stamp=stamp, **known)


def status(message: msg.AutopilotStatus, now: float) -> Autopilot | None:
    """The autopilot's status of a message, None while it is not known. A mode without a name is a pilot's."""
    if not message.heard:
        return None
    mode, copied = MODES.get(message.mode, autopilot.Mode.OTHER), {name: getattr(message, name) for name in COPIED}
    return Autopilot(now - message.heard_age, now - message.mode_age, mode, **copied)


def supervisor_status(ladder: Ladder, output: SupervisorOutput, stamp: int) -> msg.SupervisorStatus:
    return fill(
        msg.SupervisorStatus(),
        stamp=stamp,
        rung=int(output.rung),
        reason=reason(ladder.because),
        wanted=ladder.wanted,
        checkpoint_id=ladder.approved.checkpoint_id if ladder.approved is not None else "",
        latched=ladder.latched.fault.number if ladder.latched is not None else 0,
        text=output.status or "",
        events=[told(event) for event in output.events],
    )


def set_point(message: msg.SetPoint) -> trajectory.SetPoint:
    return trajectory.SetPoint(tuple(message.position.tolist()), tuple(message.velocity.tolist()), message.yaw)


def command_message(chosen: command_choice.Command, layout: str, source: int, stamp: int) -> msg.FlightCommand:
    who = {} if chosen.identity is None else chosen.identity._asdict()
    return fill(
        msg.FlightCommand(), stamp=stamp, frame_id="base_link", tick=chosen.tick, source=source, layout=layout,
        commander=COMMANDERS[chosen.commander], action=[float(a) for a in chosen.action], **who,
    )  # fmt: skip


def target(request: Any, envelope: Envelope) -> trajectory.SetPoint | Trajectory:
    """The target that SetTarget asks for. Raises UsageError, also where it would leave the envelope."""
    position = tuple(request.position.tolist())
    if not request.trajectory:
        point = trajectory.SetPoint(position, yaw=request.yaw)
        if (bad := setpoint.not_finite(point)) is not None:
            raise UsageError(f"set-point: {bad}")
        return point
    given = {name: value for name in ("size", "period") if (value := getattr(request, name))}  # 0 is the default
    found = Trajectory(request.trajectory, position, trajectory.wrapped(request.yaw), **given)
    return found.within_reach(*envelope.trajectory_limits, envelope.reach)
