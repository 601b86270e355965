"""The SROS 2 policy: generated from the sources, held against the running graph; what wheels without security do with it.

- it is up to date, and says of what nodes of a flight do what they are seen to do
- nobody but the supervisor may command, nobody but the operator may ask the supervisor
- with Enforce, a node on a Fast DDS without security does not start: it never runs unprotected
"""

import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from output import Output, executable

from spike_ctrl._files import resources

ROOT = Path(__file__).resolve().parents[2]
FLIGHT = ("vehicle_bridge", "guide_policy", "snn_policy", "supervisor")
ONLOOKERS = ("dashboard", "viewer")


@pytest.fixture(scope="module")
def rights():
    """By node: what the policy file allows, as sets of absolute names."""
    found = {}
    for profile in ET.parse(ROOT / "config" / "sros2" / "policy.xml").iter("profile"):
        allowed = {kind: set() for kind in ("publish", "subscribe", "reply", "request")}
        for element in profile:
            for kind, verdict in element.attrib.items():
                assert verdict == "ALLOW"
                allowed[kind] |= {f"/{name.text.removeprefix('/')}" for name in element}
        found[profile.get("node")] = allowed
    return found


def test_the_policy_is_up_to_date(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    spec = importlib.util.spec_from_file_location("sros2_policy", ROOT / "docs" / "sros2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main(["--check"]) == 0, capsys.readouterr().err


def test_one_node_commands_and_one_asks(rights):
    def may(kind: str, name: str) -> set[str]:
        return {node for node, allowed in rights.items() if name in allowed[kind]}

    for topic in ("/command", "/autopilot_request", "/set_point"):
        assert may("publish", topic) == {"supervisor"}
    assert may("request", "/take_off") == may("publish", "/target") == {"flight_operator"}
    assert may("request", "/engage") == {"flight_operator", "vehicle_bridge"}  # for a pilot who chooses the mode SNN
    assert may("reply", "/engage") == {"supervisor"}
    assert not rights["recorder"]["publish"] - {"/diagnostics", "/parameter_events", "/rosout"}


def test_onlookers_hear_what_they_show_and_say_nothing(rights):
    hearing = pytest.importorskip("spike_ctrl_view.hearing")
    STATUS, STREAMS = hearing.STATUS, hearing.STREAMS

    for node in ONLOOKERS:
        assert {f"/{topic}" for topic in (*STREAMS, *STATUS)} <= rights[node]["subscribe"]
        assert rights[node]["publish"] == {"/parameter_events", "/rosout"} and not rights[node]["request"]


def test_over_uxrce_the_bridge_alone_may_command_the_autopilot(rights):
    for topic in ("offboard_control_mode", "vehicle_rates_setpoint", "actuator_motors", "arming_check_reply_v1"):
        assert {node for node, may in rights.items() if f"/fmu/in/{topic}" in may["publish"]} == {"vehicle_bridge"}


def test_the_page_makes_an_enclave_for_each_node_that_may_run_beside_a_flight(rights):
    told = re.search(r"for node in (.*); do", (ROOT / "docs" / "security.md").read_text())[1].split()
    assert set(told) == {*FLIGHT, *ONLOOKERS, "recorder", "flight_operator"} <= set(rights)


def test_what_the_nodes_of_a_flight_do_is_allowed_to_them(start_graph, ros_domain_id, rights):
    import rclpy

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    model = f"model:={resources.find('models', 'sih_quadx.safetensors')}"
    graph = start_graph(f"connection:=udpin:127.0.0.1:{port}", "record:=false", model, name="flight")
    environment = os.environ | {"ROS_DOMAIN_ID": str(ros_domain_id)}
    watch = Output([executable("spike-ctrl"), "watch", "--seconds", "120"], env=environment)
    rclpy.init()
    try:
        node = rclpy.create_node("listener")
        questions = {
            "publish": node.get_publisher_names_and_types_by_node,
            "subscribe": node.get_subscriber_names_and_types_by_node,
            "reply": node.get_service_names_and_types_by_node,
            "request": node.get_client_names_and_types_by_node,
        }
        deadline = time.monotonic() + 60
        nodes = {*FLIGHT, "dashboard"}
        while not nodes <= set(node.get_node_names()) or node.count_publishers("set_point") == 0:
            assert time.monotonic() < deadline and graph.process.poll() is None, graph.output
            rclpy.spin_once(node, timeout_sec=0.1)
        for name in nodes:
            for kind, ask in questions.items():
                seen = {topic for topic, _ in ask(name, "/")}
                assert seen <= rights[name][kind], f"{name}: {kind}: {sorted(seen - rights[name][kind])}"
        node.destroy_node()
    finally:
        watch.process.terminate()
        watch.process.wait(60)
        rclpy.shutdown()


def test_with_enforce_a_node_without_security_in_its_dds_does_not_start(tmp_path, ros_domain_id):
    secured = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce", "ROS_SECURITY_KEYSTORE": str(tmp_path)}
    (tmp_path / "enclaves").mkdir()
    node = Path(sys.executable).parent / "guide_policy"
    command = [sys.executable, node] if node.read_bytes()[:2] != b"#!" else [node]
    found = subprocess.run(command, env=os.environ | secured, capture_output=True, text=True, timeout=120)
    assert found.returncode != 0
    assert "doesn't have the security libraries" in found.stderr or "SECURITY" in found.stderr
