"""Connections to an autopilot.

- over UDP the first sender is the autopilot until it is silent; a serial line carries the same bytes
- a lost serial line is opened again once it is back
- a connection that is wrong or cannot be opened is refused in one line
"""

import os
import pty
import socket
import time

import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.px4 import connection as connections
from spike_ctrl.px4.connection import Connection


def test_the_first_sender_is_the_autopilot_until_it_is_silent():
    connection = Connection("udpin:127.0.0.1:0")
    place = connection._socket.getsockname()
    first, second = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    try:
        first.sendto(b"one", place)
        data, sender = connection.receive(1.0)
        assert data == b"one" and connection.believes(sender, 10.0)
        connection.adopt(sender, 10.0)
        second.sendto(b"two", place)
        data, other = connection.receive(1.0)
        assert data == b"two" and not connection.believes(other, 10.5) and connection.believes(sender, 10.5)
        assert connection.believes(other, 11.1)
        connection.send(b"back")
        assert first.recv(100) == b"back"
        assert connection.receive(0.0) == (b"", None)
    finally:
        first.close()
        second.close()
        connection.close()


def test_a_flood_is_drained_by_one_system_call_for_each_datagram(monkeypatch):
    connection, flood = Connection("udpin:127.0.0.1:0"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        for _ in range(50):
            flood.sendto(b"foreign", connection._socket.getsockname())
        assert connection.receive(1.0)[0] == b"foreign"
        monkeypatch.setattr(connections.select, "select", lambda *_: pytest.fail("it waits where a packet is there"))
        assert [connection.receive(0.0)[0] for _ in range(50)] == 49 * [b"foreign"] + [b""]
    finally:
        flood.close()
        connection.close()


def test_a_serial_line_carries_bytes_both_ways():
    master, slave = pty.openpty()
    connection = Connection(f"serial:{os.ttyname(slave)}:921600")
    try:
        assert connection.stream and connection.believes(None, 0.0)
        os.write(master, b"\xfd\x00\r\n\x03")  # what a terminal would change
        assert connection.receive(1.0) == (b"\xfd\x00\r\n\x03", None)
        connection.send(b"\x03\n")
        assert os.read(master, 10) == b"\x03\n"
    finally:
        connection.close()
        os.close(master)
        os.close(slave)


def test_a_lost_serial_line_is_opened_again_when_it_is_back(tmp_path, monkeypatch):
    opened, reopen = [], connections._serial
    monkeypatch.setattr(connections, "_serial", lambda text: opened.append(time.monotonic()) or reopen(text))
    device = tmp_path / "line"

    def plug():
        master, slave = pty.openpty()
        device.unlink(missing_ok=True)
        device.symlink_to(os.ttyname(slave))
        return master, slave

    master, slave = plug()
    connection = Connection(f"serial:{device}:921600")
    os.close(slave)
    os.close(master)
    begin, calls = time.monotonic(), 0
    while time.monotonic() - begin < 2.5:
        assert connection.receive(0.1) == (b"", None) and connection.receive(0.0) == (b"", None)
        connection.send(b"lost")
        calls += 1
    assert calls <= 27, "it does not wait"
    assert len(opened) == 3 and opened[2] - opened[1] > 0.9, "it is not tried once a second"
    master, slave = plug()
    try:
        while len(opened) < 4:
            connection.receive(0.1)
        os.write(master, b"again")
        assert connection.receive(1.0) == (b"again", None)
        connection.send(b"back")
        assert os.read(master, 10) == b"back"
    finally:
        connection.close()
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("14540", "found '14540', wanted udpin:HOST:PORT, udpout:HOST:PORT or serial:DEVICE:BAUD"),
        ("udpin:127.0.0.1:99999", "found 'udpin:127.0.0.1:99999', wanted udpin:HOST:PORT"),
        ("udpin:192.0.2.1:0", "connection udpin:192.0.2.1:0: cannot listen there (Cannot assign requested address)"),
        ("serial:/dev/ttyNONE:921600", "/dev/ttyNONE cannot be opened (No such file or directory)"),
        ("serial:/dev/null:57600", "/dev/null is no serial line"),
        ("serial:/dev/null:57601", "wanted serial:DEVICE:BAUD with a usual rate, as 921600"),
    ],
)
def test_a_connection_that_cannot_be_made_is_refused_in_one_line(text, words):
    with pytest.raises(UsageError) as error:
        Connection(text)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_wrong_connection_is_refused_without_opening_one():
    for text in ("udpin:127.0.0.1:14540", "udpout:localhost:14540", "serial:/dev/ttyNONE:921600"):
        connections.check(text)
    for text in ("14540", "udpin:127.0.0.1:99999", "serial:/dev/null:57601", "serial:921600"):
        with pytest.raises(UsageError, match=f"found '{text}', wanted"):
            connections.check(text)


def test_a_connection_can_be_tried_without_keeping_it():
    master, slave = pty.openpty()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match="cannot listen there"):
            connections.require(f"udpin:127.0.0.1:{port}")
    try:
        for text in (f"udpin:127.0.0.1:{port}", f"serial:{os.ttyname(slave)}:921600"):
            connections.require(text)
            Connection(text).close()
    finally:
        os.close(slave)
        os.close(master)
    with pytest.raises(UsageError, match="/dev/ttyNONE cannot be opened"):
        connections.require("serial:/dev/ttyNONE:921600")
