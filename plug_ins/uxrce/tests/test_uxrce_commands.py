"""Commands over uXRCE-DDS, with a stand-in for px4_msgs: the proof of life leaves with a command, and never without.

- a command publishes the proof and then the set-point; one that is refused publishes neither
- without px4_msgs the bridge ends at once with the branch to install
"""

import subprocess
import sys
import types
from pathlib import Path

import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.link import Link
from spike_ctrl_uxrce import uxrce
from spike_ctrl_uxrce.uxrce_link import OverUxrce


class FakeNode:
    """Keeps what is published, in order: topic and message."""

    def __init__(self, namespace="/"):
        self.sent, self.namespace = [], namespace

    def get_namespace(self):
        return self.namespace

    def create_publisher(self, kind, topic, profile):
        topic = f"{self.namespace.rstrip('/')}/{topic}"

        def publish(message):
            assert type(message) is kind
            self.sent.append((topic, dict(vars(message))))

        return types.SimpleNamespace(topic_name=topic, publish=publish, get_subscription_count=lambda: 0)


def message(name, fields):
    return type(name, (), {"get_fields_and_field_types": classmethod(lambda cls: dict(fields))})


@pytest.fixture
def px4_msgs(monkeypatch):
    """A module that has the messages with the fields of PX4 1.17."""
    module = types.ModuleType("px4_msgs.msg")
    for name, fields in uxrce.FIELDS.items():
        setattr(module, name, message(name, fields))
    monkeypatch.setitem(sys.modules, "px4_msgs", types.ModuleType("px4_msgs"))
    monkeypatch.setitem(sys.modules, "px4_msgs.msg", module)
    return module


@pytest.mark.parametrize(
    ("name", "topic", "flag"),
    [("sih_quadx", "vehicle_rates_setpoint", "body_rate"), ("crazyflie", "actuator_motors", "direct_actuator")],
)
def test_the_proof_of_life_leaves_with_a_command_and_never_without(px4_msgs, name, topic, flag):
    node = FakeNode()
    way = OverUxrce(node, None, Companion(Link(), 100), airframe.load(name), "1.17")
    assert node.sent == []
    way.send((0.1, 0.0, 0.0, 0.0), 1.0)
    (first, proof), (second, set_point) = node.sent
    assert (first, second) == ("/fmu/in/offboard_control_mode", f"/fmu/in/{topic}")
    assert proof[flag] is True and sum(value is True for value in proof.values()) == 1
    assert proof["timestamp"] == set_point["timestamp"] == 0  # by PX4's clock, whatever ours does
    with pytest.raises(ValueError):
        way.send((float("nan"), 0.0, 0.0, 0.0), 1.0)
    assert len(node.sent) == 2
    assert [str(one).partition(";")[0] for one in way.unmet()] == [
        "link uxrce: PX4 has not told its version",
        "topic /fmu/in/offboard_control_mode: found no subscriber, wanted PX4",
        f"topic /fmu/in/{topic}: found no subscriber, wanted PX4",
    ]


def test_in_a_namespace_commands_go_to_the_px4_that_has_this_name_and_number(px4_msgs):
    way = OverUxrce(FakeNode("/px4_1"), None, Companion(Link(system=2), 100), airframe.load("sih_quadx"), "1.17")
    assert {out.topic_name for out in way.outs} == {
        "/px4_1/fmu/in/offboard_control_mode", "/px4_1/fmu/in/vehicle_rates_setpoint",
    }  # fmt: skip
    assert "uxrce_dds_client with -n px4_1" in str(way.unmet()[-1])
    for namespace, system in (("/", 2), ("/px4_1", 1), ("/fleet/px4_2", 2)):
        with pytest.raises(
            UsageError, match=f"parameter 'system': found {system} with link uxrce in namespace {namespace},"
        ):
            OverUxrce(FakeNode(namespace), None, Companion(Link(system=system), 100), airframe.load("sih_quadx"), "1.17")
    assert uxrce.elsewhere("/red", 7) is None


def test_messages_of_another_px4_are_refused(px4_msgs):
    fields = dict(uxrce.FIELDS["ActuatorMotors"]) | {"control": "float[16]"}
    px4_msgs.ActuatorMotors = message("ActuatorMotors", fields)
    with pytest.raises(UsageError, match=r"ActuatorMotors.control: found float\[16\], wanted float\[12\]; for PX4 1.15"):
        OverUxrce(FakeNode(), None, Companion(Link(), 100), airframe.load("crazyflie"), "1.15")


def test_without_px4_msgs_the_bridge_ends_with_the_branch_to_install(ros_domain_id):
    command = [Path(sys.executable).parent / "vehicle_bridge", "--ros-args", "-p", "link:=uxrce", "-p", "px4:='1.16'"]
    run = subprocess.run([*command, "-p", "connection:=udpin:127.0.0.1:0"], capture_output=True, text=True, timeout=120)
    assert run.returncode == 2
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("error: link uxrce: px4_msgs is not installed; for PX4 1.16: git clone -b release/1.16")
