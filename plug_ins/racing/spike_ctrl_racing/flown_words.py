"""What a racing policy flies: a course and its rounds, from `trajectory:=course:NAME::ROUNDS` or from a bag."""

import dataclasses
import json
from typing import NamedTuple

from spike_ctrl._files import settings
from spike_ctrl._files.errors import UsageError
from spike_ctrl_racing import track
from spike_ctrl_racing.course_flight import KIND
from spike_ctrl_racing.track import Track

ROUNDS, MOST = 3, 100


class RaceWords(NamedTuple):
    """A course and how often it is flown."""

    track: Track
    rounds: int

    @property
    def gates(self) -> int:
        """To be passed."""
        return self.rounds * len(self.track.gates)

    @property
    def text(self) -> str:
        """The same as one text, for a bag; `read` takes it."""
        return json.dumps({"rounds": self.rounds, "track": dataclasses.asdict(self.track)})


def read(text: str) -> RaceWords:
    """The course of `course:NAME`, `course:NAME::ROUNDS` or of `RaceWords.text`. Raises UsageError."""
    if text.startswith("{"):
        found = json.loads(text)
        return RaceWords(settings.convert(Track, found["track"], "course of a bag"), int(found["rounds"]))
    kind, _, rest = text.partition(":")
    name, *numbers = rest.split(":")
    rounds = numbers[1] if len(numbers) == 2 and not numbers[0] else str(ROUNDS) if not numbers else ""
    if kind != KIND or not name or not rounds.isdigit() or not 1 <= int(rounds) <= MOST:
        wanted = f"a course for a policy that races: {KIND}:NAME or {KIND}:NAME::ROUNDS (1 to {MOST}); it has no speed"
        raise UsageError(f"trajectory: found '{text}', wanted {wanted}")
    return RaceWords(track.load(name), int(rounds))
