"""Settings of the simulated vehicle as a process of its own: options of `spike-ctrl vehicle`, arguments of launch files."""

from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting, within


@dataclass(frozen=True)
class VehicleSettings:
    instance: int = within(0, 0, 99, "Its number among several; moves ports and MAV_SYS_ID.")
    speed: float = within(1.0, 0.1, 20, "Seconds of its time per second of the clock.")
    seed: int = within(0, 0, 2**32 - 1, "Seed of its sensor noise.")
    noise: float = within(1.0, 0, 10, "Its sensor noise, as a multiple of that of PX4's simulation.")
    sensors: str = setting(
        "", "Recipe whose sensors' errors its estimate has in addition to the noise, such as real; empty: none."
    )
    latency: float = within(0.0, 0, 1, "Delay of the commands to it.", "s")
    mass: float = within(1.0, 0.1, 10, "Factor on its mass, unknown to guide and policy.")
    thrust: float = within(1.0, 0.1, 10, "Factor on its rotors' thrust.")
    lag: float = within(1.0, 0.1, 10, "Factor on the lag of its motors and rate loop.")
    fault: str = setting(
        "",
        "rotor:NUMBER:PERCENT[:SECONDS]: after SECONDS in the air (default 12) rotor NUMBER (1 to 4, clockwise from "
        "front-right) loses PERCENT of its thrust; stuck:NUMBER:PERCENT[:SECONDS]: it stays at PERCENT of its full speed; "
        "empty: nothing fails.",
    )
    truth: str = setting("", "CSV file for its true states; empty: none.")
    priority: int = within(0, 0, 99, "Priority under SCHED_FIFO; 0: the ordinary scheduler.")


class RotorFailure(NamedTuple):
    """rotor: from 0 on, clockwise from front-right. share: of its thrust, that it loses. after: s in the air.

    stuck: the speed, 0 to 1, that it keeps to; negative: it obeys.
    """

    rotor: int
    share: float
    after: float = 12.0
    stuck: float = -1.0

    def __str__(self) -> str:
        if self.stuck >= 0:
            return f"rotor {self.rotor + 1} is stuck at {self.stuck:.0%} of its full speed"
        return f"rotor {self.rotor + 1} loses {self.share:.0%} of its thrust"


def parse_failure(text: str) -> RotorFailure:
    """The failure that a user names. Raises UsageError.

    >>> str(parse_failure("rotor:2:100"))
    'rotor 2 loses 100% of its thrust'
    >>> str(parse_failure("stuck:2:60"))
    'rotor 2 is stuck at 60% of its full speed'
    """
    kind, *words = text.split(":")
    try:
        number, percent, after = map(float, (*words, str(RotorFailure(0, 0.0).after))[:3])
    except ValueError:
        number = percent = after = -1.0
    known = kind in ("rotor", "stuck") and number in (1, 2, 3, 4) and len(words) < 4
    if not (known and 0 <= percent <= 100 and (percent > 0 or kind == "stuck") and 0 <= after < 1e5):
        wanted = "rotor:NUMBER:PERCENT or stuck:NUMBER:PERCENT, perhaps with :SECONDS, a rotor of 1 to 4 and at most 100 %"
        raise UsageError(f"fault: found '{text}', wanted {wanted}")
    rotor, share = int(number) - 1, percent / 100
    return RotorFailure(rotor, share, after) if kind == "rotor" else RotorFailure(rotor, 0.0, after, stuck=share)
