"""What a newcomer sees first: that it compiles and does not hang, and how long it still takes."""

import math
import subprocess
import sys

import pytest

from spike_ctrl._files.time_left import Forecast, time_left

pytestmark = pytest.mark.slow

NOTICE = "compiling for this machine, up to 30 s; the next command of this kind finds it compiled\n"
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


def test_a_time_that_is_left_is_told_once_a_pace_is_known_and_without_what_came_before_it():
    pace = Forecast(100.0)
    assert [pace.left(share, now) for share, now in ((0.0, 160.0), (0.01, 161.0), (0.02, 162.0))] == [float("inf")] * 3
    assert pace.left(0.51, 211.0) == pytest.approx(49.0)  # a half in 50 s, after a minute that compiled
    assert Forecast(0.0).left(0.25, 30.0) == pytest.approx(90.0)  # the first thing that is heard is a quarter


def test_hours_of_work_are_foretold_after_two_minutes():
    pace = Forecast(0.0)  # 1e-5 of it a second, after 20 s of start
    assert all(math.isinf(pace.left(1e-5 * max(now - 20, 0), float(now))) for now in range(119))
    assert pace.left(1e-5 * 130, 150.0) == pytest.approx(1e5 - 130, rel=0.01)
    assert pace.left(1.0, 300.0) == 0


def test_the_first_process_says_once_that_it_compiles_and_the_second_does_not(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, tmp_path / "program.py"]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2)]
    assert [run.stderr for run in runs] == [NOTICE, ""]
