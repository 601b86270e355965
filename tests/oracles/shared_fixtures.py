"""What all tests share, here and below plug_ins/. The environment is set before any ROS library is loaded."""

import os
import signal
import socket

import pytest

from spike_ctrl.launching.installed import dds_profile

os.environ.update(
    OMP_NUM_THREADS="1",
    ROS_PYTHON_CHECK_FIELDS="1",  # a field of the wrong type raises; without it, it is sent as rubbish
    ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",
    **dds_profile(),
)


@pytest.fixture(autouse=True)
def signals_end_the_run():
    """A verb that runs in this process takes Ctrl-C over; after the test it ends the test run again."""
    taken = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in taken.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def lines_as_long_as_they_are(monkeypatch):
    """The worker of a test run may have the width of somebody's terminal, at which tables fold."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def ros_domain_id(monkeypatch):
    """A domain that no other test on this machine uses; it is in ROS_DOMAIN_ID during the test."""
    with _reserve_domain() as reservation:
        domain = reservation.getsockname()[1] - _FIRST_PORT
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        yield domain


@pytest.fixture(scope="session")
def session_ros_domain_id():
    """The same for all tests of a session that ask for it."""
    with _reserve_domain() as reservation:
        domain = reservation.getsockname()[1] - _FIRST_PORT
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        yield domain
        del os.environ["ROS_DOMAIN_ID"]


@pytest.fixture(scope="module")
def two_ros_domain_ids():
    """Two such domains, for tests of graphs that must not see each other."""
    with _reserve_domain() as first, _reserve_domain() as second:
        yield first.getsockname()[1] - _FIRST_PORT, second.getsockname()[1] - _FIRST_PORT


_FIRST_PORT = 22119


def _reserve_domain() -> socket.socket:
    """A bound TCP socket whose port stands for the domain as long as it is open."""
    for domain in range(1, 100):  # higher domains reach into the ports of outgoing connections
        reservation = socket.socket()
        try:
            reservation.bind(("127.0.0.1", _FIRST_PORT + domain))
            return reservation
        except OSError:
            reservation.close()
    raise RuntimeError("ros_domain_id: all domains from 1 to 99 are in use")


@pytest.fixture
def reaction(record_property):
    """reaction(seconds, limit, what): the time it took, for docs/faults.md; fails where it is longer than the limit."""

    def measured(seconds: float, limit: float, what: str) -> None:
        record_property("reaction", (what, seconds, limit))
        assert 0 <= seconds <= limit, f"{what}: {1e3 * seconds:.1f} ms, wanted at most {1e3 * limit:.0f} ms"

    return measured
