"""What `ros2` prints without a graph: messages as text and back, rates, bags, launch files."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from spike_ctrl import plug_ins
from spike_ctrl_ros2cli import launch_command, message_text, ros2_command, topic_command

ARGUMENTS = json.loads((Path(__file__).parents[3] / "tests" / "compatibility" / "launch_arguments.json").read_text())


def test_fields_of_each_kind_are_set_from_yaml_and_shown_as_yaml():
    from diagnostic_msgs.msg import DiagnosticArray
    from spike_ctrl_msgs.msg import FlightState, VehicleState

    state = FlightState(check_fields=True)
    message_text.set_fields(state, {"position": [1, 2, 3.5], "header": {"frame_id": "odom"}, "tick": 7})
    assert state.position.tolist() == [1.0, 2.0, 3.5] and state.header.frame_id == "odom"
    assert yaml.safe_load(message_text.as_yaml(state))["position"] == [1.0, 2.0, 3.5]
    many = VehicleState(check_fields=True)
    message_text.set_fields(many, {"observation": [0.5, 1.0], "flags": [1]})
    assert many.observation.tolist() == [0.5, 1.0]
    array = DiagnosticArray(check_fields=True)
    message_text.set_fields(array, {"status": [{"name": "a", "values": [{"key": "k", "value": "v"}]}, {"name": "b"}]})
    assert [one.name for one in array.status] == ["a", "b"] and array.status[0].values[0].value == "v"
    short = message_text.as_yaml(array, arrays=False)
    assert "status: '<sequence type: diagnostic_msgs/msg/DiagnosticStatus, length: 2>'" in short


@pytest.mark.parametrize(
    "values", [{"positions": [1, 2, 3]}, {"position": [1, 2]}, {"position": "a"}, {"tick": -1}, {"header": 1}, None, 3]
)
def test_values_that_do_not_fit_are_refused(values):
    from spike_ctrl_msgs.msg import FlightState

    with pytest.raises((AttributeError, TypeError, ValueError, AssertionError, OverflowError)):
        message_text.set_fields(FlightState(check_fields=True), values)


def test_a_rate_is_that_of_the_times():
    times = list(np.arange(11) * 0.1)
    hertz, least, most, deviation, window = topic_command.rate(times)
    assert (hertz, window) == (pytest.approx(10), 10) and least == pytest.approx(0.1) == pytest.approx(most)
    line = topic_command._rate_line(times)
    assert line == "average rate: 10.000\n\tmin: 0.100s max: 0.100s std dev: 0.00000s window: 10" and deviation < 1e-9
    titles, rule, row, _ = topic_command._rate_table({"/state": times}).split("\n")
    assert len(titles) == len(rule) == len(row) and row.split() == ["/state", "10.000", "0.100", "0.100", "0.00000", "10"]


def local(seconds):
    return time.strftime("%b %e %Y %H:%M:%S", time.localtime(seconds))


def test_a_bag_is_described(tmp_path, capsys):
    topics = [
        {"message_count": count, "topic_metadata": {"name": name, "type": kind, "serialization_format": "cdr"}}
        for name, kind, count in (("/state", "a/msg/B", 700), ("/command", "a/msg/C", 50))
    ]
    about = {
        "relative_file_paths": ["flight_0.mcap"],
        "storage_identifier": "mcap",
        "starting_time": {"nanoseconds_since_epoch": 1_700_000_000_250_000_000},
        "duration": {"nanoseconds": 7_500_000_000},
        "message_count": 750,
        "topics_with_message_count": topics,
    }
    (tmp_path / "flight_0.mcap").write_bytes(bytes(3072))
    (tmp_path / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": about}))
    assert ros2_command.answer(["bag", "info", str(tmp_path)]) is None
    assert capsys.readouterr().out.splitlines() == [
        "",
        "Files:             flight_0.mcap",
        "Bag size:          3.0 KiB",
        "Storage id:        mcap",
        "ROS Distro:        unknown",
        "Duration:          7.500000000s",
        f"Start:             {local(1.7e9)}.250000000 (1700000000.250000000)",
        f"End:               {local(1.7e9 + 7)}.750000000 (1700000007.750000000)",
        "Messages:          750",
        "Topic information: Topic: /command | Type: a/msg/C | Count: 50 | Serialization Format: cdr",
        "                   Topic: /state | Type: a/msg/B | Count: 700 | Serialization Format: cdr",
        "Service:           0",
        "Service information: ",
    ]
    assert ros2_command.answer(["bag", "info", "-t", "--sort", "count", str(tmp_path)]) is None
    assert capsys.readouterr().out.splitlines() == ["/command", "/state"]
    (tmp_path / "metadata.yaml").unlink()
    assert "spike-ctrl repair" in ros2_command.answer(["bag", "info", str(tmp_path)])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"rosbag2_bagfile_information: {}", "topics_with_message_count"),
        (b"rosbag2_bagfile_information: {topics_with_message_count: 3}", "'int' object is not iterable"),
        (b"rosbag2_bagfile_information: {topics_with_message_count: [], relative_file_paths: [a_0.mcap]}", "a_0.mcap"),
        (b"\xff\xfe", "can't decode byte 0xff"),
    ],
)
def test_a_bag_whose_metadata_are_broken_or_whose_file_is_gone_ends_with_a_line(text, why, tmp_path):
    (tmp_path / "metadata.yaml").write_bytes(text)
    found = ros2_command.answer(["bag", "info", str(tmp_path)])
    assert why in found and f"`spike-ctrl repair {tmp_path}`" in found


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_launch_shows_the_arguments_of_a_file_that_the_package_name_finds(name, capsys):
    assert ros2_command.answer(["launch", "spike_ctrl", f"{name}.launch.py", "--show-args"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Arguments (pass arguments as '<name>:=<value>'):"
    wanted = {one for one in ARGUMENTS[name] if not plug_ins.missing("launch_arguments", one)}
    assert {line.strip(" ':") for line in lines if line.startswith("    '")} >= wanted
    assert not [line for line in lines if line.startswith("        (default:") and line[-2:] != "')"]


def test_launch_hands_file_and_arguments_to_our_own_runner(monkeypatch, capfd):
    assert ros2_command.answer(["launch", "spike_ctrl", "sim_train.launch.py", "recipe:=td3", "nodes:=3"]) == 2
    assert "launch: unknown argument 'nodes'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nothing", "flight.launch.py"], "Package 'nothing' not found: "),
        (["spike_ctrl", "fligt.launch.py"], "file 'fligt.launch.py' was not found in the share directory of package 'spike"),
        (["spike_ctrl"], "ros2 launch: found a package alone, wanted the name of its launch file, too"),
    ],
)
def test_a_launch_file_that_is_not_there_ends_with_a_line(words, why):
    assert ros2_command.answer(["launch", *words]).startswith(why)


def test_launch_finds_files_of_other_packages_by_their_share_folder(tmp_path, monkeypatch):
    share = tmp_path / "share" / "mine"
    (share / "launch").mkdir(parents=True)
    (share / "package.xml").touch()
    (share / "launch" / "a.launch.py").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert launch_command.find("mine", "a.launch.py") == share / "launch" / "a.launch.py"
