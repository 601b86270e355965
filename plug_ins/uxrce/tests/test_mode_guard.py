"""The guard of the mode: it speaks when the bridge has died or stopped while PX4 flies in the mode, and then alone."""

import os
import socket
import subprocess
import sys
import time

import pytest

from spike_ctrl_uxrce import mode_guard
from spike_ctrl_uxrce.mode_guard import LastWord


@pytest.fixture
def guarded():
    """The guard's process, and a PX4 that hears what comes through the bridge's socket."""
    px4, bridge = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    px4.bind(("127.0.0.1", 0))
    bridge.bind(("127.0.0.1", 0))
    px4.settimeout(10.0)
    command = [sys.executable, "-m", mode_guard.__name__, str(bridge.fileno()), "0.2"]
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[bridge.fileno()], bufsize=0)
    yield guard, px4, LastWord(px4.getsockname(), b"land"), bridge.getsockname()
    guard.kill()
    guard.wait()
    guard.stdin.close()
    px4.close()
    bridge.close()


def test_a_bridge_that_has_died_is_spoken_for_through_its_own_socket(guarded):
    guard, px4, word, bridge = guarded
    guard.stdin.write(mode_guard.written(None) + mode_guard.written(word))
    guard.stdin.close()
    assert [px4.recvfrom(100) for _ in range(mode_guard.TIMES)] == [(b"land", bridge)] * mode_guard.TIMES
    assert guard.wait(10) == 0


def test_a_bridge_that_has_stopped_is_spoken_for_until_it_goes_on(guarded):
    guard, px4, word, _ = guarded
    guard.stdin.write(mode_guard.written(word))
    assert px4.recv(100) == px4.recv(100) == b"land"
    guard.stdin.write(mode_guard.written(None))
    time.sleep(0.1)
    px4.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            px4.recv(100)
    guard.stdin.close()
    assert guard.wait(10) == 0
    with pytest.raises(BlockingIOError):
        px4.recv(100)  # it ended in another mode


def test_a_serial_line_needs_no_place():
    reading, writing = os.pipe()
    mode_guard.send(writing, LastWord(("-", 0), b"hold"))
    assert os.read(reading, 100) == b"hold"
    assert mode_guard.parse(mode_guard.written(LastWord(("-", 0), b"hold")).rstrip()) == LastWord(("-", 0), b"hold")
    os.close(reading)
    os.close(writing)
