"""The words of `ros2` on a running graph: two nodes in this process, of which one has a lifecycle.

Each expected text is what ros2cli 0.36.1 printed of the same graph.
"""

import io
import os
import re
import signal
import sys
import threading
import time

import pytest
from output import Output

from spike_ctrl_ros2cli import lifecycle_command, param_command, ros2_command

OURS = "import sys; from spike_ctrl_ros2cli.ros2_command import answer; sys.exit(answer(sys.argv[1:]))"


@pytest.fixture(scope="module")
def graph(session_ros_domain_id):
    """Nodes /toy, with parameters and a lifecycle, and /talker, with topics and a service; gives both."""
    import rclpy
    from nav_msgs.msg import Odometry
    from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.lifecycle import LifecycleNode
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import String
    from std_srvs.srv import SetBool

    context = rclpy.Context()
    rclpy.init(context=context)
    toy, talker = LifecycleNode("toy", context=context), rclpy.create_node("talker", context=context)
    limits = [FloatingPointRange(from_value=0.0, to_value=2.5)]
    toy.declare_parameter("gain", 1.5, ParameterDescriptor(description="How strong.", floating_point_range=limits))
    toy.declare_parameter("row", [1.0, 2.0])
    toy.declare_parameter("name", "a", ParameterDescriptor(read_only=True))
    words, odometry = talker.create_publisher(String, "words", 10), talker.create_publisher(Odometry, "odometry", 1)
    kept = talker.create_publisher(String, "kept", QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    kept.publish(String(data="k" * 200))

    def talk():
        words.publish(String(data="hello: you"))
        message = Odometry(child_frame_id="base_link")
        message.pose.pose.position.x = 1.25
        odometry.publish(message)

    def switch(request, response):
        response.success, response.message = request.data, "on" if request.data else "off"
        return response

    talker.create_timer(0.05, talk)
    talker.create_service(SetBool, "switch", switch)
    executor = SingleThreadedExecutor(context=context)
    for node in (toy, talker):
        executor.add_node(node)
    spinning = threading.Event()

    def spin():
        while not spinning.is_set():
            executor.spin_once(0.1)

    thread = threading.Thread(target=spin)
    thread.start()
    yield toy, talker
    spinning.set()
    thread.join()
    executor.shutdown()
    for node in (toy, talker):
        node.destroy_node()
    context.shutdown()


@pytest.fixture
def ros2(graph, capfd):
    """ros2("topic list") gives the exit code and the lines of what it printed.

    It looks as long as it takes for what is named, and for a list 1 s.
    """

    def run(*words: str):
        parts = [part for word in words for part in ([word] if " :" in word else word.split())]
        if parts[:2] != ["service", "call"]:
            listed = len(parts) == 2 or parts[2].startswith("-") or "-v" in parts
            parts += ["--spin-time", "1" if listed else "0"]
        code = ros2_command.answer(parts)
        return code, capfd.readouterr().out.splitlines()

    return run


def test_nodes_topics_and_services_are_listed(ros2):
    assert ros2("node list") == (None, ["/talker", "/toy"])
    code, topics = ros2("topic list -t")
    assert code is None and "/odometry [nav_msgs/msg/Odometry]" in topics and "/words [std_msgs/msg/String]" in topics
    assert int(ros2("topic list -c")[1][0]) == len(topics)
    assert " * /kept [std_msgs/msg/String] 1 publisher" in ros2("topic list -v")[1]
    assert "/switch [std_srvs/srv/SetBool]" in ros2("service list -t")[1]


def test_a_topic_is_described(ros2):
    assert ros2("topic info /words") == (None, ["Type: std_msgs/msg/String", "Publisher count: 1", "Subscription count: 0"])
    shown = ros2("topic info /kept -v")[1]
    assert "Node name: talker" in shown and "  Durability: TRANSIENT_LOCAL" in shown
    assert ros2("topic info /none") == ("Unknown topic '/none'", [])


def test_messages_are_echoed_as_yaml_fields_and_csv(ros2):
    assert ros2("topic echo /words --once") == (None, ["data: 'hello: you'", "---"])
    shown = ros2("topic echo /odometry --once --field pose.pose")[1]
    assert shown[:4] == ["position:", "  x: 1.25", "  y: 0.0", "  z: 0.0"] and shown[-1] == "---"
    (line,) = ros2("topic echo /odometry --once --csv")[1]
    assert line.startswith("0,0,,base_link,1.25,0.0,") and len(line.split(",")) == 4 + 7 + 36 + 6 + 36
    assert "  covariance: '<array type: double[36]>'" in ros2("topic echo /odometry --once --no-arr")[1]
    assert ros2("topic echo /words --once --filter len(m.data)>99 --timeout 0.3") == (None, [])


def test_a_kept_message_is_heard_and_cut_unless_in_full_length(ros2):
    assert ros2("topic echo /kept --once") == (None, [f"data: {'k' * 128}...", "---"])
    assert ros2("topic echo /kept --once -f") == (None, [f"data: {'k' * 200}", "---"])


@pytest.mark.parametrize(
    ("words", "row"),
    [
        (["/words"], r"average rate: ([\d.]+)\n\tmin: 0\.\d+s max: \d\.\d+s std dev: \d\.\d+s window: \d+"),
        (["/words", "/odometry"], r"/words +([\d.]+) +0\.\d+ +\d\.\d+ +\d\.\d+ +\d+\n/odometry "),
        (["/odometry", "--filter", "m.pose.pose.position.x > 1"], r"average rate: ([\d.]+)"),
    ],
)
def test_the_rate_of_a_running_topic_is_printed_until_ctrl_c(graph, words, row):
    hertz = Output([sys.executable, "-uc", OURS, "topic", "hz", *words], env=os.environ)
    deadline = time.monotonic() + 60
    while len(rates := re.findall(row, hertz.output)) < 2:
        assert time.monotonic() < deadline and hertz.process.poll() is None, hertz.output
        time.sleep(0.05)
    hertz.process.send_signal(signal.SIGINT)
    assert hertz.process.wait(30) == 0
    assert float(rates[-1]) == pytest.approx(20, rel=0.4)  # of the timer above, 0.05 s; a busy computer is late


def test_what_cannot_be_echoed_ends_with_a_line(ros2):
    warning = "WARNING: topic [/none] does not appear to be published yet"
    assert ros2("topic echo /none --once") == ("Could not determine the type for the passed topic", [warning])
    assert ros2("topic echo /words std_msgs/msg/Strin")[0] == "The passed message type is invalid"
    code = ros2("topic echo /odometry --once --field pose.poze")[0]
    assert code == "Invalid field 'pose.poze': 'PoseWithCovariance' object has no attribute 'poze'"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["topic", "echo", "a-b", "std_msgs/msg/String"], "topic name 'a-b' is invalid"),
        (["topic", "echo", "/words", "../msg/String"], "The passed message type is invalid"),
        (["topic", "echo", "/words", "-n", "a b"], "Invalid node name"),
        (["topic", "echo", "/words", "--filter", "m.data ="], "--filter m.data =: SyntaxError: "),
        (["topic", "hz", "/words", "--filter", "m.dat"], "--filter m.dat: AttributeError: 'String' object has no attribute"),
        (["service", "call", "a-b", "std_srvs/srv/Trigger"], "Invalid service name"),
        (["param", "list", "/toy", "--filter", "("], "missing ), unterminated subpattern"),
    ],
)
def test_a_name_or_expression_that_is_none_ends_with_a_line(graph, capfd, words, why):
    found = ros2_command.answer(words)
    assert isinstance(found, str) and found.startswith(why)


@pytest.mark.parametrize("depth", ["-1", "0", "99999999999"])
def test_a_depth_is_a_positive_number(depth, capsys):
    with pytest.raises(SystemExit):
        ros2_command.answer(["topic", "echo", "/words", f"--qos-depth={depth}"])
    assert "argument --qos-depth: value must be a positive integer" in capsys.readouterr().err


def test_parameters_are_listed_shown_and_described(ros2):
    listed = ["  gain", "  name", "  row", "  start_type_description_service", "  use_sim_time"]
    assert ros2("param list /toy") == (None, listed)
    assert ros2("param list toy --param-type --filter g") == (None, ["  gain (type: double)"])
    assert ros2("param get /toy gain") == (None, ["Double value is: 1.5"])
    assert ros2("param get /toy row") == (None, ["Double values are: [1.0, 2.0]"])
    assert ros2("param get /toy name --hide-type") == (None, ["a"])
    assert ros2("param get /toy none") == ("Parameter not set", [])
    assert ros2("param get /none gain") == ("Node not found", [])
    head = ["Parameter name: gain", "  Type: double", "  Description: How strong.", "  Constraints:"]
    assert ros2("param describe /toy gain") == (None, [*head, "    Min value: 0.0", "    Max value: 2.5"])


def test_a_parameter_is_set_or_the_reason_why_not_is_told(ros2, graph, capfd):
    assert ros2("param set /toy gain 2.0") == (None, ["Set parameter successful"])
    assert graph[0].get_parameter("gain").value == 2.0
    assert ros2_command.answer("param set /toy name b".split()) is None  # exit code 0, as of the real one
    assert capfd.readouterr().err.startswith("Setting parameter failed: ")


def test_a_service_is_called_with_fields_as_yaml(ros2, monkeypatch):
    code, lines = ros2("service call /switch std_srvs/srv/SetBool", "{data : true}")
    assert code is None
    assert lines[-5:] == [  # before it may stand that it waits for the service
        "requester: making request: std_srvs.srv.SetBool_Request(data=True)",
        "",
        "response:",
        "std_srvs.srv.SetBool_Response(success=True, message='on')",
        "",
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("data: false"))
    assert "message='off'" in ros2("service call /switch std_srvs/srv/SetBool --stdin")[1][-2]


@pytest.mark.parametrize(
    ("kind", "values", "why"),
    [
        ("SetBool", "{dat : true}", "Failed to populate field: 'SetBool_Request' object has no attribute 'dat'"),
        ("SetBool", "{data : maybe}", "Failed to populate field: 'maybe' is expected to be true or false"),
        ("SetBool", "[data :, 1]", "Failed to populate field: "),
        ("Nothing", "{a : 1}", "The passed service type is invalid"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_before_the_call(ros2, kind, values, why):
    code, lines = ros2(f"service call /switch std_srvs/srv/{kind}", values)
    assert code.startswith(why) and not lines


def test_a_lifecycle_is_shown_and_changed(ros2):
    assert ros2("lifecycle nodes") == (None, ["/toy"])
    assert ros2("lifecycle get /toy") == (None, ["unconfigured [1]"])
    assert ros2("lifecycle get /talker") == ("Node not found", [])
    assert ros2("lifecycle list /toy")[1][:3] == ["- configure [1]", "\tStart: unconfigured", "\tGoal: configuring"]
    code = ros2("lifecycle set /toy fly")[0]
    assert code == "Unknown transition requested, available ones are:\n- configure [1]\n- shutdown [5]"
    assert ros2("lifecycle set /toy configure") == (None, ["Transitioning successful"])
    assert ros2("lifecycle get") == (None, ["/toy: inactive [2]"])


def test_a_node_that_stands_still_is_told_after_a_while(graph, ros2, monkeypatch):
    from rclpy.lifecycle import LifecycleNode

    for module in (param_command, lifecycle_command):
        monkeypatch.setattr(module, "PATIENCE", 0.5)
    mute = LifecycleNode("mute", context=graph[0].context)  # nothing spins it
    try:
        assert "timed out waiting for parameter services for node /mute" in ros2("param get /mute use_sim_time")[0]
        assert ros2("lifecycle get /mute")[0] == 1
    finally:
        mute.destroy_node()
