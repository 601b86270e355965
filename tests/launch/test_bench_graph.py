"""Measuring the graph.

- a node that ends early is named at once
- a simulator that does not report is named when patience ends
"""

import importlib.util
import time
from pathlib import Path

import pytest

from spike_ctrl._files.errors import UsageError


@pytest.fixture
def bench_graph(ros_domain_id):
    file = Path(__file__).resolve().parents[1] / "bench" / "bench_graph.py"
    specification = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_a_node_that_ends_early_is_named_at_once(bench_graph):
    start = time.monotonic()
    with pytest.raises(UsageError, match=r"graph: node simulator: ended with 2, wanted it to run on"):
        bench_graph._reports(0, realtime=False)
    assert time.monotonic() - start < bench_graph.PATIENCE / 2


def test_a_simulator_that_does_not_report_is_named(bench_graph):
    with pytest.raises(UsageError, match=r"graph: node simulator: found 0 reports in 0 s, wanted more than 4"):
        bench_graph._reports(1, realtime=False, patience=0)
