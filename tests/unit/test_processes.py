"""Work in several processes: it never waits for a worker that is gone."""

import signal
import subprocess
import sys

import pytest

from spike_ctrl._files import processes
from spike_ctrl._files.errors import UsageError

LARGE = b"x" * 300_000  # more than a pipe holds


def size(data, factor):
    return factor * len(data)


def killed(data):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def test_large_arguments_reach_the_workers_whole():
    tasks = {str(n): (LARGE[: 100_000 * n], n) for n in (1, 2, 3)}
    assert sorted(processes.results(size, tasks, 2)) == [100_000, 400_000, 900_000]


def test_a_worker_that_is_killed_is_told_and_not_waited_for():
    with pytest.raises(UsageError, match="one of 2 processes ended by itself, killed or out of memory: try fewer"):
        list(processes.results(killed, {"a": (LARGE,), "b": (LARGE,)}, 2))


def test_an_interruption_of_this_process_alone_ends_the_workers_too():
    task = "import time; print(1, flush=True); time.sleep(100)"
    words = f"from spike_ctrl._files import processes; list(processes.results(exec, dict.fromkeys('abc', ({task!r},)), 2))"
    main = subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert main.stdout.read(1) == b"1"  # two workers write: their lines may mingle
        main.send_signal(signal.SIGINT)
        assert main.wait(30) != 0
    finally:
        main.kill()


def test_workers_that_end_while_they_begin_are_not_waited_for(tmp_path):
    script = tmp_path / "unguarded.py"  # each worker runs it anew, and Python refuses to begin further ones
    script.write_text("from spike_ctrl._files import processes\nlist(processes.results(len, {'a': (b'x' * 300_000,)}, 2))\n")
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1 and "processes ended by itself" in ended.stderr
