"""What a newcomer sees first: that it compiles and does not hang, and how long it still takes."""

import subprocess
import sys

import pytest

from spike_ctrl._files.time_left import time_left

pytestmark = pytest.mark.slow

NOTICE = "compiling the simulator for this machine, some 30 s, once\n"
PROGRAM = """
from spike_ctrl._files import compile_notice
compile_notice.on_stderr()
import numba

@numba.njit
def small(x):
    return x + 1

@numba.njit(cache=True)
def kept(x):
    return x + 1

small(1)
print("small")
kept(1), kept(1.0)
"""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0:00"), (59.9, "0:59"), (61, "1:01"), (3599, "59:59"), (3600, "1:00:00"), (36061, "10:01:01"), (-1, "0:00"),
     (float("inf"), "--:--"), (float("nan"), "--:--")],
)  # fmt: skip
def test_a_time_that_is_left_is_minutes_and_seconds_and_hours_where_there_are_any(seconds, text):
    assert time_left(seconds) == text


def test_the_first_process_says_once_that_it_compiles_and_the_second_does_not(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, tmp_path / "program.py"]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2)]
    assert [run.stderr for run in runs] == [NOTICE, ""]
