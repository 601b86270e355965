"""PX4 over uXRCE-DDS: what the messages hold, on absolute facts, and which px4_msgs is refused, with the fix in one line."""

import math
import re

import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl_uxrce import uxrce

SIH, CRAZYFLIE = airframe.load("sih_quadx"), airframe.load("crazyflie")
FIT = {message: dict(fields) for message, fields in uxrce.FIELDS.items()}


@pytest.mark.installed
def test_rates_are_frd_and_thrust_points_up_along_negative_z():
    """Full thrust, 3.84 rad/s of roll to the right, nose down by as much (FLU: positive), nose to the left."""
    fields = uxrce.set_point("rates", (1.0, 1.0, 1.0, 1.0), SIH)
    assert (fields["roll"], fields["pitch"], fields["yaw"]) == pytest.approx((3.84, -3.84, -3.49))
    assert fields["thrust_body"] == [0.0, 0.0, -1.0]
    assert fields["timestamp"] == 0 and fields["reset_integral"] is False


def test_a_zero_action_is_the_hover_thrust_and_no_rotation():
    fields = uxrce.set_point("rates", (0.0, 0.0, 0.0, 0.0), SIH)
    assert fields["thrust_body"][2] == pytest.approx(-9.81 / 20) and fields["roll"] == 0


@pytest.mark.parametrize(
    ("ours", "theirs"), [(0, 0), (1, 3), (2, 1), (3, 2)], ids=["front right", "back right", "back left", "front left"]
)
def test_motors_are_in_px4s_order_and_absent_ones_are_nan(ours, theirs):
    action = [-1.0] * 4
    action[ours] = 1.0
    fields = uxrce.set_point("motors", action, CRAZYFLIE)
    control = fields["control"]
    assert fields["timestamp"] == fields["timestamp_sample"] == 0
    assert len(control) == 12 and all(math.isnan(value) for value in control[4:])
    assert control[theirs] == 1.0 and max(control[i] for i in range(4) if i != theirs) < 0.2


def test_a_motor_gets_the_thrust_that_its_speed_gives():
    curve = airframe.from_dict(airframe.to_dict(CRAZYFLIE) | {"thrust_curve": "0 0 0.2 N"})
    control = uxrce.motors((0.0,) * 4, curve)
    assert control[:4] == pytest.approx([0.25] * 4)  # half the speed, a quarter of the thrust


@pytest.mark.parametrize(("layout", "flag"), [("rates", "body_rate"), ("motors", "direct_actuator")])
def test_the_proof_of_life_names_one_kind_of_set_point(layout, flag):
    fields = uxrce.proof(layout)
    assert fields.pop("timestamp") == 0 and [name for name, on in fields.items() if on] == [flag] and len(fields) == 7


def test_a_set_point_that_must_not_be_sent_is_refused():
    with pytest.raises(ValueError, match="action: motor 2: found nan"):
        uxrce.motors((0.0, 0.0, math.nan, 0.0), CRAZYFLIE)
    with pytest.raises(ValueError, match=r"action: pitch rate: found 1\.5"):
        uxrce.set_point("rates", (0.0, 0.0, 1.5, 0.0), SIH)
    with pytest.raises(UsageError):
        uxrce.motors((0.0,) * 4, SIH)


@pytest.mark.parametrize("version", ["1.15", "1.16", "1.17"])
def test_row_40_each_px4_has_its_branch_of_px4_msgs(version):
    assert uxrce.unfit(version, FIT) is None
    why = uxrce.unfit(version, None)
    assert why.startswith(
        f"link uxrce: px4_msgs is not installed; for PX4 {version}: git clone -b release/{version} https://"
    )


@pytest.mark.parametrize(
    ("message", "field", "found", "words"),
    [
        ("OffboardControlMode", "direct_actuator", None, "OffboardControlMode.direct_actuator: found no such field, wanted"),
        ("ActuatorMotors", "control", "float[8]", r"ActuatorMotors.control: found float\[8\], wanted float\[12\]"),
        ("VehicleRatesSetpoint", None, None, "VehicleRatesSetpoint: no such message"),
    ],
)
def test_row_40_a_px4_msgs_of_another_px4_is_refused_by_field_with_the_branch_to_install(message, field, found, words):
    other = {name: dict(fields) for name, fields in FIT.items()}
    if field is None:
        del other[message]
    elif found is None:
        del other[message][field]
    else:
        other[message][field] = found
    why = uxrce.unfit("1.16", other)
    assert "\n" not in why and "release/1.16" in why
    assert re.search(words, why), why


def test_row_40_fields_in_another_order_or_more_of_them_are_refused_for_px4_reads_bytes():
    rates = FIT["VehicleRatesSetpoint"]
    turned = {name: rates[name] for name in ("timestamp", "pitch", "roll", *list(rates)[3:])}
    for other in (turned, rates | {"new": "float"}):
        why = uxrce.unfit("1.17", FIT | {"VehicleRatesSetpoint": other})
        assert f"VehicleRatesSetpoint: found the fields {', '.join(other)}, wanted {', '.join(rates)}; for PX4 1.17" in why


@pytest.mark.parametrize("version", ["1.13", "1.14", "1.18"])
def test_row_40_a_px4_without_a_matrix_entry_is_refused(version):
    assert uxrce.unfit(version, FIT).startswith(f"px4: found '{version}', wanted one of 1.15, 1.16, 1.17")


def test_row_40_another_firmware_or_no_agent_bars_the_flight():
    topics = {"/fmu/in/offboard_control_mode": 1, "/fmu/in/actuator_motors": 1}
    assert uxrce.audit("1.17", "1.17", topics) == []
    told = [str(one) for one in uxrce.audit("1.17", "1.16", topics | {"/fmu/in/actuator_motors": 0})]
    assert told == [
        "link uxrce: found PX4 1.16, wanted 1.17; check out px4_msgs release/1.16 and start with px4:=1.16",
        "topic /fmu/in/actuator_motors: found no subscriber, wanted PX4; start MicroXRCEAgent, and PX4's uxrce_dds_client",
    ]
    assert all(one.blocks for one in uxrce.audit("1.17", None, {}))
