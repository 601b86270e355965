"""What `adapt:=true` changes in a flight: real-time scheduling, unless it is refused, and the supervisor's parameter."""

import importlib
from types import SimpleNamespace

import pytest
from programs import free_port

from spike_ctrl_launcher import launch_modules


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


def test_a_flight_gives_the_parameter_to_its_supervisor(start_graph):
    connection = f"connection:=udpin:127.0.0.1:{free_port()}"
    graph = start_graph("adapt:=true", "realtime:=false", "record:=false", connection, name="flight")
    graph.wait_until(lambda: "supervisor" in graph.nodes(), 120, "no supervisor runs")
    assert graph.parameters("supervisor")["adapt"] is True
