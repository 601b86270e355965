"""Which checkpoints may fly on an aircraft: the sha256 sums of their files, in a list that the operator keeps.

sha256sum models/crazyflie.safetensors >> allowed.txt

A line `children of SUM` also lets policies fly that say of themselves that they were tuned in flight from that file.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.manifest import CheckpointError


@dataclass(frozen=True)
class AllowedModels:
    """sha256 sums, in hexadecimal, of the files that may fly, and their list. parents: of those whose children may."""

    source: str
    sums: frozenset[str]
    parents: frozenset[str] = frozenset()

    def require(self, data: bytes, name: str) -> None:
        """Raise CheckpointError where these bytes are not those of a file in the list. name: what the error calls them."""
        if (found := hashlib.sha256(data).hexdigest()) in self.sums:
            return
        detail = f"{name}: sha256: found {found}, wanted one of the {len(self.sums)} in {self.source}"
        if self.parents:  # otherwise nothing of a file that is not listed is looked at
            ancestor = checkpoint.about(data, name).ancestor
            if ancestor in self.parents:
                return
            detail += f" or a child of one of {len(self.parents)}, found '{ancestor}'"
        raise CheckpointError(detail)


def read(path: str | os.PathLike[str]) -> AllowedModels:
    """A list as `sha256sum` prints it; # begins a comment. Raises CheckpointError, also for a list without a sum."""
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    sums: set[str] = set()
    parents: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not (words := line.partition("#")[0].split()):
            continue
        listed = sums
        if words[:2] == ["children", "of"] and len(words) > 2:
            words, listed = words[2:], parents
        if not re.fullmatch(r"[0-9a-fA-F]{64}", words[0]):
            raise CheckpointError(f"{path}: line {number}: found '{words[0][:70]}', wanted a sha256, 64 hexadecimal digits")
        listed.add(words[0].lower())
    if not sums:
        raise CheckpointError(f"{path}: found no sha256, wanted at least one: sha256sum MODEL >> {path}")
    return AllowedModels(str(path), frozenset(sums), frozenset(parents))
