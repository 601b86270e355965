"""How long packets take over the link to the autopilot, as its answers to TIMESYNC and the stamps of its states tell. Pure.

A round trip is the delay of a state and of its command together, and needs no clock. The vehicle's clock was not farther
ahead when it answered than when it was asked, so a state is at most as old as its stamp says by that lead: a growing delay
is told from a clock that falls behind. A busy computer reads single packets late, so the least of the last ones counts.
Questions that wait for their answers tell a long delay before these come; single ones may be lost.
"""

from __future__ import annotations

from typing import NamedTuple

RECENT = 1.0  # s in which an answer counts: so long, clocks drift little
TRIPS, STATES, QUESTIONS = 3, 8, 4  # of which the least counts
USUAL = 0.02  # s: a shorter delay may come from this computer as well
OVERTAKEN = 0.1  # s: a stamp that goes back by more belongs to a clock that began anew


class LinkDelay(NamedTuple):
    """answers: receipt, round trip, and lead of the vehicle's clock over the question's; ages: of states; all s.

    waiting: when questions were asked that have no answer yet, the oldest first; s.
    """

    answers: tuple[tuple[float, float, float], ...] = ()
    ages: tuple[float, ...] = ()
    stamp: float = 0.0  # s, of the last state
    waiting: tuple[float, ...] = ()

    def asked(self, now: float) -> LinkDelay:
        """After a question of TIMESYNC."""
        return self._replace(waiting=(*(at for at in self.waiting if now - at <= RECENT), now))

    def answered(self, now: float, round_trip: float, lead: float) -> LinkDelay:
        """After an answer to TIMESYNC. lead: the vehicle's time in it minus the time of the question (s)."""
        recent = [one for one in self.answers if now - one[0] <= RECENT]
        waiting = tuple(at for at in self.waiting if at > now - round_trip + 1e-3)
        return self._replace(answers=(*recent, (now, round_trip, lead)), waiting=waiting)

    def seen(self, stamp: float, now: float) -> LinkDelay:
        """After a state, received at `now` (s). Where the vehicle's clock begins anew, nothing is known."""
        if stamp < self.stamp - OVERTAKEN:
            return LinkDelay(stamp=stamp)
        leads = [lead for at, _, lead in self.answers if now - at <= RECENT]
        ages = (*self.ages[1 - STATES :], now - stamp + min(leads)) if leads else ()
        return LinkDelay(self.answers, ages, stamp, self.waiting)

    def longest(self, now: float) -> float:
        """The delay (s) of states, or of states and commands together, where the link causes one; 0 where it does not."""
        trips = [trip for at, trip, _ in self.answers[-QUESTIONS:] if now - at <= RECENT]
        both = min(trips[-TRIPS:]) if len(trips) >= TRIPS else 0.0
        if trips and len(self.waiting) > 1:  # a trip is at least as long as its question has waited
            trips += [now - at for at in self.waiting]
            both = max([both, *(min(trips[n : n + QUESTIONS]) for n in range(len(trips) - QUESTIONS + 1))])
        longest = max(both, min(self.ages)) if len(self.ages) == STATES else both
        return longest if longest > USUAL else 0.0
