"""An interrupted save of a checkpoint loses nothing: a kill, a failing disk, a full one."""

import errno
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import small_checkpoint
from small_checkpoint import CONTRACT, make_weights

from spike_ctrl.learn import training_state
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError

pytestmark = pytest.mark.slow

KILLED_SAVES = """
import os, shutil, signal, sys
sys.path.insert(0, {folder!r})
from small_checkpoint import CONTRACT, make_weights
from spike_ctrl.policy import checkpoint

calls = 0
def dying(call, nth):
    def wrapper(*arguments):
        global calls
        calls += 1
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments)
    return wrapper

def killed(nth):
    if process := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    write = os.write
    os.write = dying(lambda descriptor, rest: write(descriptor, rest[:4096]), nth)
    for name in ("open", "close", "fsync", "replace"):
        setattr(os, name, dying(getattr(os, name), nth))
    checkpoint.save({path!r}, make_weights(1), CONTRACT)
    os._exit(0)

for nth in range(1, 40):
    checkpoint.save({path!r}, make_weights(0), CONTRACT)
    ended = killed(nth)
    shutil.copy({path!r}, {kept!r} + f"/{{nth}}.safetensors")
    print(ended)
    if ended == 0:
        break
"""


@pytest.mark.proves("22U")
def test_a_kill_at_any_write_leaves_a_file_that_loads(tmp_path):
    path, kept = tmp_path / "saved" / "policy.safetensors", tmp_path / "kept"
    path.parent.mkdir()
    kept.mkdir()
    old, new = make_weights(0), make_weights(1)
    code = KILLED_SAVES.format(folder=os.path.dirname(small_checkpoint.__file__), path=str(path), kept=str(kept))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    ends, outcomes = result.stdout.split(), []
    for nth, _ in enumerate(ends, 1):
        found = checkpoint.load(kept / f"{nth}.safetensors").weights
        outcomes.append(np.array_equal(found["output.bias"], new["output.bias"]))
        assert outcomes[-1] or np.array_equal(found["output.bias"], old["output.bias"])
    assert {*ends[:-1]} == {str(-signal.SIGKILL)} and ends[-1] == "0", result.stderr
    assert outcomes[0] is False and outcomes[-1] is True and len(outcomes) > 8
    checkpoint.save(path, new, CONTRACT)
    assert os.listdir(path.parent) == ["policy.safetensors"]  # the dead processes' leftovers are gone


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failing_disk_is_one_line_and_the_old_file_stays(tmp_path, monkeypatch, call, code):
    path = tmp_path / "policy.safetensors"
    before = checkpoint.save(path, make_weights(0), CONTRACT)

    def fail(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(checkpoint.os, call, fail)
    with pytest.raises(CheckpointError, match=r"not saved: .*nothing was lost") as caught:
        checkpoint.save(path, make_weights(1), CONTRACT)
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert ("no space left" in str(caught.value)) == (code == errno.ENOSPC)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["policy.safetensors"]


@pytest.mark.parametrize("state", [False, True])
def test_a_full_disk_is_one_line_and_the_old_file_stays(tmp_path, state):
    """A limit on the size of files stands for the full disk; it needs no rights and no other file system."""
    path = tmp_path / "policy.safetensors"
    before = checkpoint.save(path, make_weights(0), CONTRACT)
    old_limit, old_handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, old_limit[1]))
        with pytest.raises(CheckpointError, match="nothing was lost"):
            if state:
                training_state.save(path, {"buffer": np.zeros(10_000)}, {})
            else:
                checkpoint.save(path, make_weights(1), CONTRACT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["policy.safetensors"]


def test_leftovers_of_living_processes_are_left_alone(tmp_path):
    path = tmp_path / "policy.safetensors"
    alive = tmp_path / f".policy.safetensors.{os.getppid()}.1.tmp"
    alive.write_bytes(b"half")
    checkpoint.save(path, make_weights(), CONTRACT)
    assert alive.exists()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere/policy: not saved: No such file or directory"):
        checkpoint.save(tmp_path / "nowhere" / "policy", make_weights(), CONTRACT)
