"""The SROS 2 policy: generated from the sources; what wheels without security do with it.

- it is up to date; that it allows what the nodes of a flight do: see test_flight_graph.py
- nobody but the supervisor may command, nobody but the operator may ask the supervisor
- with Enforce, a node on a Fast DDS without security does not start: it never runs unprotected
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sros2_rights
from sros2_rights import FLIGHT

ROOT = Path(__file__).resolve().parents[2]
ONLOOKERS = ("dashboard", "viewer")


@pytest.fixture(scope="module")
def rights():
    return sros2_rights.read()


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


def test_with_enforce_a_node_without_security_in_its_dds_does_not_start(tmp_path, ros_domain_id):
    secured = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce", "ROS_SECURITY_KEYSTORE": str(tmp_path)}
    (tmp_path / "enclaves").mkdir()
    node = Path(sys.executable).parent / "guide_policy"
    command = [sys.executable, node] if node.read_bytes()[:2] != b"#!" else [node]
    found = subprocess.run(command, env=os.environ | secured, capture_output=True, text=True, timeout=120)
    assert found.returncode != 0
    assert "doesn't have the security libraries" in found.stderr or "SECURITY" in found.stderr
