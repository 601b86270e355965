"""Compiled kernels are kept by the state of all sources that they are made of, whoever imports numba first."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import spike_ctrl
from spike_ctrl._files import kernel_cache
from spike_ctrl._files.kernel import kernel
from spike_ctrl.certification import monte_carlo
from spike_ctrl.cli import main
from spike_ctrl.flight import rehearsal

pytestmark = pytest.mark.slow

PACKAGE = Path(spike_ctrl.__file__).parent


@pytest.fixture
def copy(tmp_path):
    """The package's sources, to be changed."""
    return shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("airframe.py", "GRAVITY = 9.81", "GRAVITY = 1.62"),  # a constant, in a file without a kernel
     ("snn/surrogate.py", "slack * slack", "slack"),  # a plain function that kernels inline
     ("sim/dynamics.py", "LANES = 16", "LANES = 32")],
)  # fmt: skip
def test_a_change_of_what_kernels_are_made_of_leaves_the_old_ones_unused(copy, file, old, new):
    before = kernel_cache.folder(copy)
    edit(copy / file, old, new)
    assert kernel_cache.folder(copy) != before


def test_a_change_elsewhere_keeps_the_compiled_kernels(copy):
    before = kernel_cache.folder(copy)
    for file in ("cli/main.py", "flight/ladder.py", "learn/recipe.py", "__init__.py"):
        with (copy / file).open("a") as source:
            source.write("\n# changed\n")
    assert kernel_cache.folder(copy) == before


@pytest.mark.parametrize("first", ["numba, spike_ctrl", "spike_ctrl, numba"])
def test_kernels_go_to_that_folder_whichever_is_imported_first(first):
    code = f"import {first}; from spike_ctrl.sim import dynamics; print(dynamics.step.stats.cache_path)"
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert Path(run.stdout.strip()).is_relative_to(kernel_cache.folder(PACKAGE))


def test_a_folder_that_the_user_names_is_used_as_it_is(tmp_path):
    code = "import spike_ctrl; from spike_ctrl.sim import dynamics; print(dynamics.step.stats.cache_path)"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert Path(run.stdout.strip()).is_relative_to(tmp_path)


COMPILE = """
import numpy as np
from spike_ctrl.snn.sparse_products import list_marked
list_marked(np.zeros(4, np.uint8), np.zeros(4, np.int64))
print(list_marked.stats.cache_path, *list_marked.stats.cache_hits.values())
"""


def test_another_checkout_of_the_same_sources_compiles_nothing_where_it_has_a_copy_of_the_folder(copy, tmp_path):
    def compiled(package):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_CACHE")}
        command, there = [sys.executable, "-c", COMPILE], package.parent  # whose package is imported
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=there)
        place, *found = run.stdout.split()
        assert Path(place).is_relative_to(package)
        return found

    assert compiled(copy) == []
    other = shutil.copytree(copy, tmp_path / "elsewhere" / copy.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(kernel_cache.folder(copy), kernel_cache.folder(other))
    assert compiled(other) == ["1"]


USERS = """
import os, numba
before = numba.config.CACHE_DIR, dict(os.environ)
from spike_ctrl.sim import dynamics
assert (numba.config.CACHE_DIR, dict(os.environ)) == before

@numba.njit(cache=True)
def own(x):
    return x

print(own.stats.cache_path)
"""


def test_a_users_own_functions_are_kept_where_numba_keeps_them(tmp_path):
    (tmp_path / "program.py").write_text(USERS)
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    command = [sys.executable, tmp_path / "program.py"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == str(tmp_path / "__pycache__")


@pytest.mark.plug_ins
def test_every_kernel_is_decorated_where_its_folder_is_chosen():
    root = PACKAGE.parents[2]
    sources = [file for place in ("src", "plug_ins") for file in (root / place).rglob("*.py")]
    assert [file.name for file in sources if re.search(r"import njit|numba\.(njit|jit)\b", file.read_text())] == [
        "kernel.py"
    ]


def test_a_function_is_compiled_once_for_all_constants_that_kernels_call_it_with():
    @kernel(error_model="numpy")
    def power(x, times):
        result = x
        for _ in range(times):
            result *= x
        return result

    @kernel(error_model="numpy")
    def sums(x):
        return power(x, 1) + power(x, 2) + power(x, times=3)

    assert sums(2.0) == 4 + 8 + 16
    assert len(power.signatures) == 1


def test_a_part_of_kernels_can_be_called_from_python():
    half = kernel(forceinline=True)(lambda x: x / 2)
    assert half(3.0) == kernel()(lambda: half(3.0))() == 1.5


def test_where_nothing_of_the_user_can_be_written_kernels_are_kept_for_the_process(copy, monkeypatch):
    monkeypatch.setattr(kernel_cache.Path, "home", lambda: Path("/nonexistent"))
    monkeypatch.setattr(kernel_cache.os, "access", lambda path, mode: False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    kept = kernel_cache.folder(copy)
    kept.mkdir(parents=True)
    assert not kept.is_relative_to("/nonexistent") and kept.stat().st_uid == os.getuid()


def test_where_the_package_may_not_be_written_they_are_in_the_cache_that_the_user_names(copy, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel_cache.os, "access", lambda path, mode: path != copy)
    assert kernel_cache.folder(copy).parent == tmp_path / "cache" / "spike_ctrl"


@pytest.fixture
def set_up(tmp_path, monkeypatch):
    """Calls `compile_kernels.py` in a checkout of that name, where `train` stands for what compiles."""
    monkeypatch.setattr(kernel_cache, "user_cache", lambda: tmp_path / "user")
    monkeypatch.setattr(monte_carlo, "refly", lambda *flight, **options: (SimpleNamespace(seconds=1.0), None))
    monkeypatch.setattr(rehearsal, "rehearse", lambda *policy, **options: None)
    monkeypatch.setattr(sys, "argv", ["compile_kernels.py", str(tmp_path / "run")])

    def call(checkout, train, state="kernels-new"):
        folder = tmp_path / checkout / state
        monkeypatch.setattr(kernel_cache, "folder", lambda package: folder)
        monkeypatch.setattr(main, "main", lambda arguments: train(folder))
        runpy.run_path(str(Path(__file__).parents[2] / "requirements" / "compile_kernels.py"))
        return folder

    return call


def compiled(folder):
    (folder / "dynamics").mkdir(parents=True)
    (folder / "dynamics" / "step.nbc").write_bytes(b"machine code")
    (folder / "dynamics" / "step.nbc.tmp.0x7f").write_bytes(b"machi")  # of a compiler that was killed
    return 0


def test_another_checkout_finds_what_set_up_compiled_whole_and_the_oldest_of_more_than_five_states_goes(set_up, tmp_path):
    for age in range(6):
        (old := tmp_path / "user" / f"kernels-{age}").mkdir(parents=True)
        os.utime(old, (0, -age))

    def found(folder):
        assert [path.read_bytes() for path in folder.rglob("*.*")] == [b"machine code"]
        return 0

    set_up("first", compiled)
    set_up("second", found)
    assert sorted(path.name for path in (tmp_path / "user").iterdir()) == [
        *(f"kernels-{n}" for n in range(4)),
        "kernels-new",
    ]


def test_a_set_up_whose_training_fails_says_so_and_keeps_nothing(set_up, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        set_up("first", lambda folder: compiled(folder) or 2)
    assert not (tmp_path / "user").exists()
