"""The state from which a training goes on: what was saved comes back, and what is damaged is refused."""

import re

import numpy as np
import pytest

from spike_ctrl.learn import training_state
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError


def test_a_training_state_comes_back(tmp_path):
    path = tmp_path / "state.safetensors"
    rng = np.random.default_rng(5)
    arrays = {
        "buffer.observation": rng.standard_normal((100, 18)).astype(np.float32),
        "buffer.flags": rng.random(100) > 0.5,
        "optimiser.step": np.int64(12),
        "strided": rng.standard_normal((8, 8))[:, ::2],
        "empty": np.zeros((0, 3)),
    }
    info = {"generator": rng.bit_generator.state, "iteration": 3, "k": 1.5}
    training_state.save(path, arrays, info)
    found, found_info = training_state.load(path)
    assert found_info == info
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == np.asarray(array).dtype
        assert np.array_equal(found[name], array)
    resumed = np.random.default_rng()
    resumed.bit_generator.state = found_info["generator"]
    assert resumed.random() == rng.random()


def test_a_damaged_training_state_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"
    training_state.save(path, {"x": np.arange(1000)}, {"iteration": 3})
    whole = path.read_bytes()
    for length in (0, 4, 60, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="not a readable training state"):
            training_state.load(path)
    rng = np.random.default_rng(0)
    header = 8 + int.from_bytes(whole[:8], "little")
    for position in [*range(header), *rng.integers(header, len(whole), 300)]:
        flipped = bytearray(whole)
        flipped[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=rf"^{re.escape(str(path))}: (sha256|info|not a readable training state)"):
            training_state.load(path)
        if position >= header:
            with pytest.raises(CheckpointError, match=r"sha256: found .* wanted .*: the file was altered"):
                training_state.load(path)
    path.write_bytes(checkpoint.read("models/crazyflie.safetensors"))
    with pytest.raises(CheckpointError, match="info: found nothing"):
        training_state.load(path)
    with pytest.raises(CheckpointError, match="absent: cannot be read"):
        training_state.load(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="info: "):
        training_state.save(path, {}, {"x": object()})
