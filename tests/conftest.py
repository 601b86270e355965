"""The fixtures that all tests share, and the rows of the fault table that tests prove."""

import gc
import signal

import fault_rows
import pytest
from shared_fixtures import *  # noqa: F403
from shared_rewriting import rewrite_share


def pytest_configure(config):
    # A shell's background job ignores SIGINT, and so would every process that a test starts and interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if worker := getattr(config, "workerinput", None):
        rewrite_share(config, int(worker["workerid"][2:]), worker["workercount"])


def pytest_collection_modifyitems(items):
    """Unit tests that have rows in their name get the mark, too."""
    for item in items:
        if rows := fault_rows.by_name(item.path.name, getattr(item, "originalname", item.name)):
            item.add_marker(pytest.mark.proves(*sorted(rows)))


def pytest_collection_finish(session):
    """The garbage collector leaves half a million objects of the collection alone, and comes less often."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    fault_rows.keep(item, report)
    return report
