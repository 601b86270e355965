"""What an onlooker remembers of a graph ends with that graph."""

from types import SimpleNamespace

import numpy as np
import pytest
from spike_ctrl_msgs.msg import SupervisorStatus, VehicleState

from spike_ctrl_ros.convert import fill
from spike_ctrl_view.watched_graph import WatchedGraph


@pytest.fixture
def heard():
    """A graph that is watched, and how to say something in it."""
    names, ears = ["viewer"], {}
    node = SimpleNamespace(
        get_name=lambda: "viewer",
        get_namespace=lambda: "/",
        get_node_names_and_namespaces=lambda: [(name, "/") for name in names],
        create_subscription=lambda kind, topic, ear, *_, **__: ears.setdefault(topic, ear),
    )
    graph = WatchedGraph(node)

    def fly(tick: int, rung: int = SupervisorStatus.SILENT) -> None:
        seen = np.zeros((1, 18), np.float32)
        seen[0, 0] = 0.5
        ears["state"](fill(VehicleState(), stamp=0, tick=tick, flags=np.zeros(1, np.uint8), observation=seen))
        ears["supervisor/status"](fill(SupervisorStatus(), stamp=0, rung=rung, events=["ok: it lands"]))

    return SimpleNamespace(graph=graph, names=names, fly=fly, begun=graph.begun)


def test_a_graph_that_starts_after_another_has_ended_starts_with_nothing(heard):
    heard.names.append("supervisor")
    heard.graph.seen(heard.begun + 1)
    heard.fly(100)
    assert len(heard.graph.seen(heard.begun + 2).error) == 1
    heard.names.remove("supervisor")
    ended = heard.graph.seen(heard.begun + 50)
    assert ended.gone and ended.supervisor is not None and ended.rung_since == pytest.approx(2)  # the last is shown
    graphs = heard.graph.graphs
    heard.names.append("supervisor")
    begun = heard.graph.seen(heard.begun + 53)
    assert heard.graph.graphs == graphs + 1 and not begun.heard and not begun.error and begun.supervisor is None
    heard.fly(1)
    seen = heard.graph.seen(heard.begun + 54)
    assert (
        seen.rung_since == pytest.approx(54)
        and seen.lasting == "for at least 0 s"
        and len(seen.error) == 1
        and len(seen.events) == 2
    )


def test_a_rung_that_was_there_before_the_watch_lasts_at_least_as_long_as_it_was_watched(heard):
    heard.names.append("supervisor")
    heard.graph.seen(heard.begun + 1)
    heard.fly(100)
    heard.graph.seen(heard.begun + 2)
    assert heard.graph.seen(heard.begun + 9).lasting == "for at least 7 s"
    heard.fly(101, SupervisorStatus.LAND)
    heard.graph.seen(heard.begun + 10)
    assert heard.graph.seen(heard.begun + 13).lasting == "for 3 s"


def test_ticks_that_begin_anew_are_those_of_another_graph(heard):
    heard.names.append("supervisor")
    heard.graph.seen(heard.begun + 1)
    for tick, second, graphs in ((100, 2, 2), (101, 3, 2), (5, 4, 3)):
        heard.fly(tick)
        heard.graph.seen(heard.begun + second)
        assert heard.graph.graphs == graphs
