"""Hears an autopilot over an open connection, and writes parameters to it. The clock is passed in."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from spike_ctrl._files.errors import UsageError
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.connection import Connection
from spike_ctrl.px4.preflight import Heard

ROUNDS, ROUND = 10, 0.5  # times that parameters are written, and s until they are written again


class WrittenParameter(NamedTuple):
    """What a parameter was, and what the autopilot says that it is now."""

    before: float
    after: float


def listen(
    connection: Connection, companion: Companion, clock: Callable[[], float], end: float, until: Callable[[float], bool]
) -> None:
    """Hear the autopilot and send it what is due, to `end` (s of the clock) or as soon as `until(now)` holds."""
    while (now := clock()) < end and not until(now):
        data, sender = connection.receive(0.02)
        if data and connection.believes(sender, now):
            companion.receive(data, now)
            connection.adopt(sender, now)
        for packet in companion.due(now):
            connection.send(packet)


def write(
    connection: Connection, companion: Companion, clock: Callable[[], float], wanted: Callable[[Heard], Mapping[str, float]]
) -> dict[str, WrittenParameter]:
    """Write the parameters that `wanted` names, until the autopilot tells them back or has had five seconds.

    Gives those that have changed. Raises UsageError where the vehicle is armed or gets lost.
    """
    heard = companion.heard_of(clock())
    if heard.status is None:
        return {}
    if heard.status.armed:
        raise UsageError("the vehicle is armed, wanted disarmed")
    before: dict[str, float] = {}
    for _ in range(ROUNDS):
        now = clock()
        before = companion.parameters | before
        if not (values := wanted(heard := companion.heard_of(now))):
            break
        if heard.status is None or heard.status.armed:
            raise UsageError("the autopilot was armed or lost meanwhile: not all was written")
        for name, value in values.items():
            connection.send(companion.link.set_parameter(name, type(before[name])(value), now))
        listen(connection, companion, clock, now + ROUND, lambda now: not wanted(companion.heard_of(now)))
    pairs = {name: WrittenParameter(before.get(name, value), value) for name, value in companion.parameters.items()}
    return {name: pair for name, pair in pairs.items() if pair.before != pair.after}
