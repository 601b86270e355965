"""One policy flies the same trajectories on vehicles other than the one it was told of, in virtual time."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from spike_ctrl import airframe as airframes
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl_sitl import path_error, virtual_flight
from spike_ctrl_sitl.path_error import FlownLeg

LATENCY = 0.02  # s, with which all plants are flown too
OFF = 0.2  # that mass, thrust and lag are off
DESCRIBED = (1.0, 1.0, 1.0)  # factors of mass, thrust and lag


class SweptPlant(NamedTuple):
    """How it went on one plant: factors of mass, thrust and lag; latency (s); whether it stayed in the cage."""

    factors: tuple[float, ...]
    latency: float
    legs: Sequence[FlownLeg]
    inside: bool

    @property
    def good(self) -> bool:
        """It stayed in the cage and, where the plant is as described but for latency, reached all goals."""
        return self.inside and (self.factors != DESCRIBED or all(leg.passed is not False for leg in self.legs))


def fly_plants(
    policy: Policy,
    craft: Airframe,
    paths: Sequence[Trajectory],
    kinds: Sequence[str],
    duration: float,
    noise: float,
    seed: int,
) -> Iterator[SweptPlant]:
    """Each plant in turn. kinds: of the paths; duration: s of each; noise, seed: as in `virtual_flight.fly_legs`."""
    cage = Cage()
    corners = [DESCRIBED, *itertools.product((1 - OFF, 1 + OFF), repeat=3)]
    for latency, factors in itertools.product((0.0, LATENCY), corners):
        plant = airframes.altered(craft, *factors)
        flown = virtual_flight.fly_legs(policy, craft, plant, paths, duration, latency=latency, noise=noise, seed=seed)
        inside = not any(cage.check(position) for position in flown.true)
        yield SweptPlant(factors, latency, path_error.legs(flown, kinds, duration), inside)
