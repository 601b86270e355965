"""A quick `_replace` does what the standard library's does, for every state of a flight that has one."""

from collections import namedtuple

import pytest

from spike_ctrl.flight.answer_checks import AnswerSource
from spike_ctrl.flight.bridge import BridgeMemory, PassedCommand
from spike_ctrl.flight.estimate_quality import EstimateQuality
from spike_ctrl.flight.force_consistency import ForceCheck
from spike_ctrl.flight.ladder_state import Ladder
from spike_ctrl.flight.policy_monitor import Monitor
from spike_ctrl.flight.state_checks import StateTrack
from spike_ctrl.flight.supervisor_state import SupervisorState
from spike_ctrl.flight.swap_trial import SwapTrial

STATES = (
    SupervisorState, Ladder, Monitor, StateTrack, AnswerSource, SwapTrial, BridgeMemory, PassedCommand, ForceCheck,
    EstimateQuality,
)  # fmt: skip


@pytest.mark.parametrize("kind", STATES)
def test_each_field_is_replaced_as_by_the_standard_library(kind):
    plain, found = namedtuple("plain", kind._fields)(*kind()), kind()
    for name in kind._fields:
        after = found._replace(**{name: "new"})
        assert type(after) is kind and after == plain._replace(**{name: "new"}) and getattr(after, name) == "new"
    first, last = kind._fields[0], kind._fields[-1]
    assert found._replace(**{last: 1, first: 2}) == plain._replace(**{last: 1, first: 2})
    assert found == kind() and found._replace() == found


def test_an_unknown_field_is_refused_by_name():
    with pytest.raises(ValueError, match=r"AnswerSource: found mises, wanted of states, latest, waiting_since, misses"):
        AnswerSource()._replace(mises=1)
