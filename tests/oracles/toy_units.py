"""An experiment whose units square a number; some of them fail, die or wait for a file."""

import sys
import time

import pytest

from spike_ctrl_studies import SUMMARIES, study_runner
from spike_ctrl_studies.study import StudyOptions

ORIGIN = {"command": "spike-ctrl experiment toy", "commit": "0123abcd"}

TOY = """
import os, signal, time
from pathlib import Path
from spike_ctrl_studies.study import Report, UnitResult, Unit, one

SEEDS = 3, 3

def units(options):
    return [Unit(f"n-{n}", {"n": n} | dict(EXTRA)) for n in range(options.seeds or 3)]

EXTRA = {}

def measure(settings, context):
    n = settings["n"]
    if trace := os.environ.get("TOY_TRACE"):
        with open(trace, "a") as file:
            file.write(f"{n} {os.getpid()} {os.environ.get('OMP_NUM_THREADS')}\\n")
    what = os.environ.get(f"TOY_{n}")
    context.progress(0.5, "half way")
    if what == "raise":
        raise ValueError("no good\\nat all")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    while what and what.startswith("/") and not Path(what).exists():
        time.sleep(0.02)
        context.progress(0.6, "waiting")
    return UnitResult([{"kind": "result", "square": n * n}], {"note.txt": str(n).encode()})

def report(options, results):
    return Report("Squares", [{"unit": name, "square": one(lines, "result")["square"]} for name, lines in results.items()])
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The toy experiment, known to this process and to those that it starts; and the file that tells what was measured."""
    package = tmp_path / "modules"
    package.mkdir()
    (package / "toy_experiment.py").write_text(TOY)
    (package / "without_torch.py").write_text("from contextlib import nullcontext as training_process\n")
    (package / "sitecustomize.py").write_text(
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'spike_ctrl.learn.training_process' and 'TOY_WITHOUT_TORCH' in os.environ:\n"
        "            from importlib.util import spec_from_file_location\n"
        f"            return spec_from_file_location(name, {str(package / 'without_torch.py')!r})\n"
        "        if name == 'spike_ctrl_studies.toy_study':\n"
        "            from importlib.util import spec_from_file_location\n"
        f"            return spec_from_file_location(name, {str(package / 'toy_experiment.py')!r})\n"
        "        if name == 'spike_ctrl_studies.study':\n"
        "            import spike_ctrl_studies as e; e.SUMMARIES.setdefault('toy', 'squares')\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(package))
    trace = tmp_path / "trace"
    monkeypatch.setenv("TOY_TRACE", str(trace))
    monkeypatch.setenv("TOY_WITHOUT_TORCH", "its import would take a worker seconds")
    monkeypatch.setitem(SUMMARIES, "toy", "squares")
    specification = __import__("importlib.util").util.spec_from_file_location("toy", package / "toy_experiment.py")
    module = __import__("importlib.util").util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "spike_ctrl_studies.toy_study", module)
    monkeypatch.chdir(tmp_path)
    return module


def run(out=None, options=StudyOptions(), workers=1, show=lambda line: None, stamp="20260101-000000", ray=""):
    about = {"clock": time.monotonic, "unit_clock": time.process_time, "origin": ORIGIN, "show": show}
    return study_runner.run("toy", options, out=out, stamp=stamp, workers=workers, ray=ray, **about)


def measured(tmp_path):
    trace = tmp_path / "trace"
    return [line.split() for line in trace.read_text().splitlines()] if trace.exists() else []
