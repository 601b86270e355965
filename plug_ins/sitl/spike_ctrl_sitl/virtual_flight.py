"""A policy flies the simulated vehicle over MAVLink in virtual time: a minute takes seconds, whatever the computer's load.

The vehicle takes off by its own position control while the policy answers in shadow; then the policy flies trajectories.
"""

from collections.abc import Sequence

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight import setpoint
from spike_ctrl.flight.attitude import yaw
from spike_ctrl.flight.bridge import observed
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.setpoint import Target
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.policy.voltage_input import complete
from spike_ctrl.px4 import dialect, parameter_rules
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.link import Link
from spike_ctrl.simulated_px4.vehicle import ONBOARD, Vehicle
from spike_ctrl_sitl.path_error import FlownTrack
from spike_ctrl_sitl.sitl_process import SIH_NOISE

STEP = 0.004  # s, the vehicle's tick
READY, CLIMB = 3.0, 8.0  # s on the ground, and for the climb
FENCE = Cage((-50.0, -50.0, -1.0), (50.0, 50.0, 50.0))  # too large to clamp any set-point


def fly_legs(
    policy: Policy,
    described: Airframe,
    plant: Airframe,
    paths: Sequence[Trajectory],
    duration: float,
    *,
    latency: float = 0.0,
    noise: float = 1.0,
    seed: int = 0,
    rate_hz: float = 100.0,
) -> FlownTrack:
    """The track along `paths`, `duration` (s) each.

    described: the airframe that the policy was made for. plant: the airframe that flies. latency: delay of commands, s.
    noise: factor of the sensors' noise, 1 as in PX4's simulation.
    """
    told = parameter_rules.thrust_changes(described) | parameter_rules.hover_changes(described)
    vehicle = Vehicle(plant, seed, SIH_NOISE | told, noise, latency)
    companion = Companion(Link(), rate_hz)
    state, height, rows = policy.initial_state(), paths[0].centre[2], []
    asked = 0  # requests to the autopilot
    begin, end = READY + CLIMB, READY + CLIMB + duration * len(paths)

    def send(packet: bytes) -> None:
        vehicle.receive(ONBOARD, packet, vehicle.now)

    while vehicle.now < end:
        samples: list[Sample] = []
        for port, data in vehicle.advance(vehicle.now + STEP):
            samples += companion.receive(data, vehicle.now) if port == ONBOARD else []
        now = vehicle.now
        for packet in companion.due(now):
            send(packet)
        if asked == 0 and now >= READY - 0.5:
            asked = 1
            send(companion.link.set_mode(dialect.PX4Mode.OFFBOARD, now))
        elif asked == 1 and now >= READY:
            asked = 2
            send(companion.link.arm(now))
        for sample in samples:
            flying = now - begin
            leg = min(max(int(flying / duration), 0), len(paths) - 1)
            target = Target(paths[leg], since=begin + leg * duration)
            point, _ = setpoint.set_point_at(target, now, FENCE)
            heading = point.yaw if flying >= 0 else yaw(sample.quaternion)
            seen = complete(policy, observed(sample, point._replace(yaw=heading)), vehicle.battery.voltage)
            action, state = policy.step(seen, state)
            if flying < 0:
                send(companion.link.position((*paths[0].centre[:2], height), heading, now))
                continue
            send(companion.link.action(np.clip(action, -1, 1).tolist(), described, now))
            rows.append((flying, *vehicle.truth.position, *sample.position, *point.position))
    found = np.array(rows)
    return FlownTrack(found[:, 0], found[:, 1:4], found[:, 4:7], found[:, 7:10])
