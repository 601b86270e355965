"""One topic of a ULog: its fields by name, in which a missing one is named."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spike_ctrl._files.errors import UsageError


class Topic(dict[str, np.ndarray]):
    """The fields of the topic `name` in the log at `path`. A field that it lacks raises UsageError."""

    def __init__(self, path: Path, name: str, data: Mapping[str, np.ndarray]) -> None:
        super().__init__(data)
        self.path, self.name = path, name

    def __missing__(self, field: str) -> np.ndarray:
        near = ", ".join(known for known in self if known != "timestamp")
        raise UsageError(f"{self.source}: found no field {field}, wanted it; there are {near or 'none'}")

    @property
    def source(self) -> str:
        """What an error begins with."""
        return f"{self.path}: {self.name}"

    @property
    def when(self) -> np.ndarray:
        """Times of the samples, s since PX4 booted."""
        sampled = self.get("timestamp_sample")
        return np.asarray(self["timestamp"] if sampled is None or not np.any(sampled) else sampled, float) * 1e-6

    def column(self, field: str) -> np.ndarray:
        """A field (K,)."""
        return np.asarray(self[field], float)

    def columns(self, *fields: str) -> np.ndarray:
        """Fields (K, n)."""
        return np.column_stack([self.column(field) for field in fields])

    def vector(self, field: str, size: int = 3) -> np.ndarray:
        """An array (K, size)."""
        return self.columns(*(f"{field}[{axis}]" for axis in range(size)))
