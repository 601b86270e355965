"""The airframe as URDF, the way of a vehicle, and the RViz file that shows them."""

import ast
import importlib.util
import math
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import yaml

from spike_ctrl import airframe, launching
from spike_ctrl._files import resources
from spike_ctrl_launcher import launch_modules
from spike_ctrl_rviz.flown_path import PathPose, longer
from spike_ctrl_rviz.urdf import urdf

HERE = Path(__file__).parents[1]
CLASSES = {"RobotModel": "String", "Path": "Path", "Pose": "PoseStamped", "Odometry": "Odometry"}  # displays: their messages


@pytest.mark.installed
@pytest.mark.parametrize("name", sorted(path.stem for path in (resources.folder("config") / "airframes").glob("*.yaml")))
def test_every_airframe_is_one_link_with_its_mass_and_its_rotors_in_their_places(name):
    craft = airframe.load(name)
    robot = ElementTree.fromstring(urdf(craft).encode())
    (link,) = robot.findall("link")
    assert link.get("name") == "base_link" and robot.get("name") == craft.name
    assert float(link.find("inertial/mass").get("value")) == pytest.approx(craft.mass, rel=1e-5)
    moments = link.find("inertial/inertia")
    assert [float(moments.get(axis)) for axis in ("ixx", "iyy", "izz")] == pytest.approx(craft.inertia, rel=1e-5)
    discs = [visual for visual in link.findall("visual") if visual.find("geometry/cylinder") is not None]
    places = [tuple(map(float, disc.find("origin").get("xyz").split()))[:2] for disc in discs]
    assert places == [pytest.approx(one, rel=1e-4) for one in zip(craft.rotor_x, craft.rotor_y, strict=True)]
    known = {material.get("name") for material in robot.findall("material")}
    assert {visual.find("material").get("name") for visual in link.findall("visual")} == known
    assert [disc.find("material").get("name") == "front" for disc in discs] == [x > 0 for x in craft.rotor_x]


def test_a_rotor_stands_at_the_outer_end_of_its_arm():
    link = ElementTree.fromstring(urdf(airframe.load("crazyflie")).encode()).find("link")
    arms = [visual for visual in link.findall("visual")[1:] if visual.find("geometry/box") is not None]
    assert len(arms) == 4
    for arm in arms:
        x, y, _ = map(float, arm.find("origin").get("xyz").split())
        yaw = float(arm.find("origin").get("rpy").split()[2])
        half = float(arm.find("geometry/box").get("size").split()[0]) / 2
        end = (x + half * math.cos(yaw), y + half * math.sin(yaw))
        assert [abs(one) for one in end] == pytest.approx([0.028, 0.028], abs=1e-6)


def at(seconds, x, speed=0.0):
    return PathPose(round(seconds * 1e9), (x, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0), speed)


def test_a_path_is_as_long_as_asked_and_ten_poses_in_a_second():
    path = ()
    for tick in range(1000):
        path = longer(path, at(tick / 100, tick / 100, speed=1.0), length=2.0)
    assert [one.stamp for one in path] == [round(1e8 * step) for step in range(79, 100)]


@pytest.mark.parametrize(
    ("pose", "goes_on"),
    [
        (at(1.1, 1.1, speed=1.0), True),
        (at(1.1, 1.9, speed=10.0), True),
        (at(1.1, 3.0, speed=1.0), False),
        (at(0.9, 1.0), False),
    ],
)
def test_a_path_begins_anew_with_a_jump_or_when_time_goes_back(pose, goes_on):
    path = (at(0.9, 0.9, 1.0), at(1.0, 1.0, 1.0))
    assert longer(path, pose, 30.0) == ((*path, pose) if goes_on else (pose,))


def test_the_rviz_file_shows_topics_that_the_node_publishes_with_a_qos_that_hears_them():
    calls = [
        call
        for call in ast.walk(ast.parse((HERE / "spike_ctrl_rviz" / "rviz_publisher_node.py").read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in ("create_publisher", "create_subscription")
    ]
    published = {f"/{call.args[1].value}": (call.args[0].id, call.args[-1].attr) for call in calls if len(call.args) == 3}
    published["/odometry"] = ("Odometry", "STREAM")
    shown = yaml.safe_load((HERE / "spike_ctrl.rviz").read_text())["Visualization Manager"]
    assert shown["Global Options"]["Fixed Frame"] == "odom"
    topics = {}
    for display in shown["Displays"]:
        about = display.get("Topic") or display.get("Description Topic")
        if about:
            kind, profile = published[about["Value"]]
            assert kind == CLASSES[display["Class"].rpartition("/")[2]]
            assert profile != "STREAM" or about["Reliability Policy"] == "Best Effort"
            assert (about["Durability Policy"] == "Transient Local") == (profile == "CHECKPOINTS")
            topics[about["Value"]] = kind
    assert set(topics) == set(published) - {"/tf"}


def test_our_tf2_msgs_is_that_of_ros_2_by_the_hash_of_its_type():
    """DDS matches types by name, and ROS 2 by this hash; here that of Jazzy and Kilted, as rosbags computes it."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    text = (HERE / "tf_message" / "msg" / "TFMessage.msg").read_text()
    for store in (Stores.ROS2_JAZZY, Stores.ROS2_KILTED):
        theirs = get_typestore(store)
        ours = get_typestore(Stores.EMPTY)
        needed = {name: kind for name, kind in theirs.fielddefs.items() if name != "tf2_msgs/msg/TFMessage"}
        ours.register(needed | get_types_from_msg(text, "tf2_msgs/msg/TFMessage"))
        assert ours.hash_rihs01("tf2_msgs/msg/TFMessage") == theirs.hash_rihs01("tf2_msgs/msg/TFMessage")


@pytest.mark.parametrize("name", ["flight", "sim_train"])
def test_a_flight_and_a_training_have_the_argument(name):
    known = {one.name: one for one in launching.arguments(resources.find("launch", f"{name}.launch.py"))}
    assert known["rviz"].default_value[0].text == "false"


@pytest.mark.skipif(
    importlib.util.find_spec("launch_ros") is not None, reason="the actions are those of ROS 2's launch then"
)
def test_it_starts_the_node_if_asked_and_in_a_flight_with_the_profile_of_the_others():
    with launch_modules.installed():
        from spike_ctrl_rviz import flight_rviz_argument, rviz_argument

        for module, own in ((rviz_argument, False), (flight_rviz_argument, True)):
            (node,) = module.last(None)
            assert (node.package, node.executable) == ("spike_ctrl_rviz", "rviz_publisher")
            assert bool(node.additional_env) is own and node.on_exit is None  # its end ends nothing
            for asked in ("true", "false"):
                values = SimpleNamespace(launch_configurations={"rviz": asked})
                assert node.condition.evaluate(values) is (asked == "true")
