"""A vehicle of a training that an autopilot carries, as the parameters of its node say."""

import dataclasses
import time

from spike_ctrl import airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.learn import recipe, resumption, teacher
from spike_ctrl.px4.connection import Connection
from spike_ctrl.px4.signing import Signing, read_key
from spike_ctrl_sitl.live_training.autopilot_simulator import AutopilotSimulator
from spike_ctrl_sitl.live_training.return_to_start import ReturnLimits
from spike_ctrl_sitl.live_training.room_episodes import Room, RoomEpisodes
from spike_ctrl_sitl.px4_backend_parameters import Px4BackendParameters


def on_autopilot(parameters: Px4BackendParameters) -> tuple[AutopilotSimulator, Connection, Signing | None]:
    """The vehicle's episodes, whose kernels are compiled, and the link to its autopilot. Raises UsageError."""
    p = parameters
    vehicle, plan = airframe.load(p.airframe), recipe.find(p.recipe)
    flown = resumption.flown_before(p.resume, dataclasses.asdict(p))
    episodes = RoomEpisodes(plan, vehicle, Room(p.height, p.room), p.seed + flown)
    signing = Signing(read_key(p.signing_key), 0, time.time(), time.monotonic()) if p.signing_key else None
    connection = Connection(p.connection)
    guide = GeometricGuide(vehicle, teacher.gains(plan))
    flight = AutopilotSimulator(episodes, guide, ReturnLimits(restarts=p.restarts))
    flight.compile()
    return flight, connection, signing
