"""A simulated vehicle that is commanded by its motors, flown by a client of pymavlink.

- the four numbers are the motors in PX4's order; another group, a number beyond 0..1 and another layout do nothing
- it says that it takes motor commands; the one that stands for PX4 says so never
- it takes off, holds and lands by itself, as PX4 does; when the commands stop it lands
"""

import math

import pytest
from pymavlink.dialects.v20 import development as mavlink

from spike_ctrl import airframe
from spike_ctrl.px4.link import Link

CRAFT = airframe.load("crazyflie")
HOVER, LAND = CRAFT.hover, 0x06040000


def motors(*controls, group=128):
    """Front right, back left, front left, back right: the order of PX4's motors 1 to 4."""
    return mavlink.MAVLink_set_actuator_control_target_message(0, group, 1, 1, [*controls, 0, 0, 0, 0])


@pytest.fixture
def hovering(rig):
    return rig({"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 4}, craft=CRAFT).hover()


@pytest.mark.parametrize(
    ("faster", "axis", "sign"),
    [((0, 2), 1, 1), ((1, 2), 0, 1), ((0, 1), 2, 1)],
    ids=[
        "the front ones: nose up",
        "the left ones: roll to the right",
        "those that turn left: nose to the right",
    ],
)
def test_motors_turn_the_vehicle_as_their_places_and_senses_say(hovering, faster, axis, sign):
    hovering.run(0.1, motors(*(HOVER + 0.02 * (motor in faster) for motor in range(4))), every=0.01)
    rates = hovering.rates_frd
    assert sign * rates[axis] > 0.05 and max(abs(rates[other]) for other in range(3) if other != axis) < 0.02


@pytest.mark.parametrize("wrong", [motors(1, 0, 1, 0, group=0), motors(1, 0, math.nan, 0), motors(1.1, 0, 1, 0)])
def test_another_group_and_numbers_beyond_their_range_do_nothing(hovering, wrong):
    hovering.run(0.15, wrong, every=0.01)
    assert max(map(abs, hovering.rates_frd)) < 0.02 and hovering.mode != LAND
    hovering.run(0.2, wrong, every=0.01)
    assert hovering.mode == LAND  # nor do they count as commands


def test_a_vehicle_of_the_other_layout_ignores_motors_as_px4_does_and_says_nothing_of_them(rig):
    client = rig({"COM_OF_LOSS_T": 0.2, "COM_OBL_RC_ACT": 4}).hover()
    client.run(0.35, motors(1, 1, 1, 1), every=0.01)
    assert client.mode == LAND and client.height < 1.6
    client.tell(client.command(mavlink.MAV_CMD_REQUEST_MESSAGE, mavlink.MAVLINK_MSG_ID_AUTOPILOT_VERSION))
    client.run(0.02)
    assert bytes(client.last("AUTOPILOT_VERSION").flight_custom_version) == bytes(8)


def test_it_lands_softly_when_the_commands_stop_and_says_what_it_takes(hovering):
    hovering.run(0.5, motors(HOVER, HOVER, HOVER, HOVER), every=0.01)
    hovering.tell(hovering.command(mavlink.MAV_CMD_REQUEST_MESSAGE, mavlink.MAVLINK_MSG_ID_AUTOPILOT_VERSION))
    assert hovering.run(0.4, until=lambda: hovering.vehicle.commander.mode == LAND)
    assert bytes(hovering.last("AUTOPILOT_VERSION").flight_custom_version) == b"rotors01"
    assert hovering.run(25.0, until=lambda: not hovering.armed)
    x, y, z = hovering.vehicle.truth.position
    assert z == 0 and math.hypot(x, y) < 0.1 and hovering.vehicle.plant.hardest_touchdown < 0.3


def test_the_link_sends_each_rotor_to_its_motor():
    """Rotors: front right, back right, back left, front left."""
    (message,) = mavlink.MAVLink(None).parse_buffer(Link().action((-1.0, -0.5, 0.0, 1.0), CRAFT, 0.0))
    assert list(message.controls[:4]) == [0.0, 0.5, 1.0, 0.25] and message.group_mlx == 128
