"""Links of commands to an autopilot: motors leave over MAVLink for our own simulated vehicle only."""

import types

import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.link import Link
from spike_ctrl.px4.link_events import Version
from spike_ctrl_flight.offboard import OverMavlink, ToEmbedded


def test_motors_do_not_go_over_mavlink_to_px4():
    with pytest.raises(UsageError, match="found 'motors', wanted 'rates'; PX4 takes motors over link:=uxrce only"):
        OverMavlink(None, None, None, airframe.load("crazyflie"), "1.17")
    with pytest.raises(UsageError, match="found 'rates', wanted 'motors'; such a vehicle is commanded"):
        ToEmbedded(None, None, None, airframe.load("sih_quadx"), "1.17")


@pytest.mark.parametrize(
    ("version", "sent", "words"),
    [
        (None, 0, ["link embedded: the vehicle has not told its version"]),
        (Version(0.0, 1, 17), 0, ["link embedded: found PX4 1.17, wanted our own vehicle commanded by its motors"]),
        (Version(0.0, 1, 17, takes_motors=True), 1, []),
    ],
)
def test_motor_commands_leave_only_for_a_vehicle_that_says_that_it_takes_them(version, sent, words):
    packets = []
    companion = Companion(Link(), 100)
    companion.version = version
    way = ToEmbedded(None, types.SimpleNamespace(send=packets.append), companion, airframe.load("crazyflie"), "1.17")
    way.send((0.1, 0.0, 0.0, 0.0), 1.0)
    assert len(packets) == sent and [str(one).partition(";")[0] for one in way.unmet()] == words
