"""Flights of real processes against the simulated vehicle, judged by its true states. Tests share flights: see hangar.py."""

import os
import time

import pytest
import rclpy
from hangar import ADAPTING, LINK, MOTORS, PLAIN, Hangar
from rehearsal import PROFILE, may_be_real_time

from spike_ctrl.launching.installed import profile_variables

os.environ.update(dict.fromkeys(profile_variables(), str(PROFILE)), ROS_AUTOMATIC_DISCOVERY_RANGE="SYSTEM_DEFAULT")
FLIGHTS = {"flight": {"kind": PLAIN}, "unruly_flight": {"kind": PLAIN, "unruly": True}, "link_flight": {"kind": LINK},
           "motor_flight": {"kind": MOTORS},
           "unruly_motor_flight": {"kind": MOTORS, "unruly": True}, "adapting_flight": {"kind": ADAPTING}}  # fmt: skip


@pytest.fixture(scope="session")
def hangar(session_ros_domain_id, tmp_path_factory):
    rclpy.init()
    found = Hangar(lambda: tmp_path_factory.mktemp("flight"))
    yield found
    found.end()
    rclpy.shutdown()


@pytest.fixture
def flight(hangar):
    """In the air, the policy flies."""
    return hangar.fly(**FLIGHTS["flight"])


@pytest.fixture
def unruly_flight(hangar):
    """The same with a policy that `hangar.unruly.tell` controls."""
    return hangar.fly(**FLIGHTS["unruly_flight"])


@pytest.fixture
def link_flight(hangar):
    """The same over a signed link with which `link_flight.link.tell` tampers."""
    return hangar.fly(**FLIGHTS["link_flight"])


@pytest.fixture
def motor_flight(hangar):
    """The same with a policy and a guide that command the motors of a Crazyflie."""
    return hangar.fly(**FLIGHTS["motor_flight"])


@pytest.fixture
def unruly_motor_flight(hangar):
    """The same with a policy that `hangar.unruly.tell` controls."""
    return hangar.fly(**FLIGHTS["unruly_motor_flight"])


@pytest.fixture
def adapting_flight(hangar):
    """The same with an adapter beside it."""
    return hangar.fly(**FLIGHTS["adapting_flight"])


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """After the test the truth is asked, too. Where a processor was held up, as canaries above the flight's processes
    tell, a failed test is flown once more, and that is recorded: the flight itself cannot hold them up.
    """
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    hangar, shared = pyfuncitem.funcargs.get("hangar"), FLIGHTS.keys() & arguments.keys()
    if hangar is None:
        return None
    for attempt in range(2):
        begin = time.monotonic()
        try:
            pyfuncitem.obj(**arguments)
            for name in shared:
                arguments[name].must_be_well(begin)
            return True
        except AssertionError as error:
            held_up = hangar.held_up(begin)
            hangar.kind = None  # the next test begins with a new flight
            if attempt or not held_up or not may_be_real_time():
                raise
            why = str(error).partition("\n")[0][:200]
            pyfuncitem.user_properties.append(("flown_again", f"held up for {', '.join(held_up)}: {why}"))
            print(f"flown again, for the computer was held up for {', '.join(held_up)}: {error}")
            arguments |= {name: hangar.fly(**FLIGHTS[name]) for name in shared}
