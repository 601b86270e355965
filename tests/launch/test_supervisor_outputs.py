"""What the supervisor's node logs: to wait is normal, and no warning."""

from types import SimpleNamespace

import pytest

from spike_ctrl.flight.event import Bar, Event, EventKind, Obstacle
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.ladder_state import Ladder
from spike_ctrl.flight.request import Request
from spike_ctrl_flight.supervisor_outputs import SupervisorOutputs


class Log:
    def __init__(self):
        self.said = []

    def __getattr__(self, severity):
        return lambda text: self.said.append((severity, text))


@pytest.mark.parametrize(("again", "severity", "more"), [(True, "info", "; it is asked for again"), (False, "warning", "")])
def test_a_refusal_is_a_warning_to_an_operator_and_news_to_a_flight_that_asks_again_and_is_said_once(again, severity, more):
    log, text = Log(), "refused to take off: estimator: not told yet"
    node = SimpleNamespace(get_logger=lambda: log, create_publisher=lambda *_: SimpleNamespace(publish=lambda _: None))
    outputs = SupervisorOutputs(node, FlightSettings())
    outputs.asks_again = again
    not_told = Obstacle(Bar.UNMET, detail="estimator: not told yet")
    silent = Finding(Fault.POLICY_SILENT, "no answer")
    refused = Event(0.0, EventKind.REFUSED, Request.TAKE_OFF, Rung.SILENT, obstacles=(not_told,))
    events = (refused, Event(0.0, EventKind.FAULT, silent))
    quiet = {"command": None, "ask": None, "accept": None, "status": None, "rung": Rung.SILENT}
    for _ in range(2):
        outputs.publish(SimpleNamespace(**quiet, events=events), Ladder(), 0)
    assert log.said == [(severity, text + more), ("warning", str(silent)), ("warning", str(silent))]
