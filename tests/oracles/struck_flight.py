"""A flight in virtual time that one fault strikes."""

import math

from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.flight_outcome import fly_scenario
from spike_ctrl.certification.injected_fault import InjectedFault
from spike_ctrl.certification.moving_scenario import draw

CALM = draw(20)._replace(aims=(), wind=(0.0, 0.0, 0.0), noise=0.5, factors=(1.0, 1.0, 1.0), latency=0.0)
"""A hover of the vehicle as described, without wind and with little noise."""


def fault(place, kind, at=1.0, until=math.inf, size=0.5):
    return InjectedFault(place, kind, at, until, size, (1.0, 0.0, 0.0), 0, 7)


def fly(who, scenario):
    """who: competitors and settings, as of certification.monte_carlo.competitors."""
    return fly_scenario(scenario, *who)[1]


class Alone(FlightCore):
    """A flight whose policy stays in shadow."""

    def _engage(self):
        pass
