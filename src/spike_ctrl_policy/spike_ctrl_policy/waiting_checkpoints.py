"""Checkpoints that have come and wait for the state that asks for them. Pure."""

from collections.abc import Mapping

from spike_ctrl.policy.pilot import Flown


def take(waiting: Mapping[int, Flown], epoch: int) -> tuple[Flown | None, dict[int, Flown]]:
    """The checkpoint of the epoch that a state asks for, or the newest where it asks for none (0), and those after it.

    None where it has not come; then all go on waiting.
    """
    wanted = epoch or max(waiting, default=0)
    if wanted not in waiting:
        return None, dict(waiting)
    return waiting[wanted], {later: kept for later, kept in waiting.items() if later > wanted}
