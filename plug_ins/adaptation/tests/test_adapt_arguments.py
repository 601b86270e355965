"""What `adapt:=true` changes in a flight: real-time scheduling, unless it is refused, and the supervisor's parameter."""

import importlib
import os
from types import SimpleNamespace

import pytest
from programs import free_port

from spike_ctrl.cli.main import main
from spike_ctrl.flight import realtime_scheduling
from spike_ctrl_launcher import launch_modules

CONTROL = ("vehicle_bridge", "guide_policy", "snn_policy", "supervisor")


@pytest.fixture
def arguments():
    with launch_modules.installed():
        yield importlib.import_module("spike_ctrl_adaptation.flight_arguments")


@pytest.mark.parametrize(
    ("given", "realtime"),
    [
        ({}, None),
        ({"adapt": "false"}, None),
        ({"adapt": "true"}, "true"),
        ({"adapt": "true", "realtime": "auto"}, "true"),
        ({"adapt": "true", "realtime": "false"}, "false"),
        ({"realtime": "true"}, "true"),
    ],
)
def test_an_adapter_asks_for_real_time_where_the_user_leaves_it_open(arguments, given, realtime):
    arguments.prepare(context := SimpleNamespace(launch_configurations=dict(given)))
    assert context.launch_configurations.get("realtime") == realtime


@pytest.mark.parametrize("adapt", [True, False])
def test_the_supervisor_knows_whether_candidates_are_tuned_in_flight(arguments, adapt):
    context = SimpleNamespace(launch_configurations={"adapt": str(adapt).lower()})
    assert arguments.parameters(context) == {"supervisor": {"adapt": adapt}}


@pytest.mark.parametrize("option", [("--changes", "wind"), ("--folder", "nowhere")])
def test_a_whirl_refuses_the_options_that_it_does_not_use(option, capsys):
    assert main(["adapt", "nosuch", "--whirl", *option]) == 2
    assert f"{option[0]}: found with --whirl, wanted without" in capsys.readouterr().err


def test_a_flight_gives_the_parameter_to_its_supervisor_and_its_adapter_gives_way_to_all_that_fly(start_graph):
    graph = start_graph("adapt:=true", "record:=false", f"connection:=udpin:127.0.0.1:{free_port()}", name="flight")
    graph.wait_until(lambda: {*CONTROL, "adapter"} <= set(graph.nodes()), 120, "not all nodes run")
    assert graph.parameters("supervisor")["adapt"] is True
    if realtime_scheduling.allowed():

        def scheduled(wanted: int, *names: str) -> bool:
            return all(os.sched_getscheduler(graph.node(name)) == wanted for name in names)

        graph.wait_until(lambda: scheduled(os.SCHED_FIFO, *CONTROL), 150, "they do not hurry")  # the first start compiles
        graph.wait_until(lambda: scheduled(os.SCHED_IDLE, "adapter"), 60, "the adapter gives way to none")
