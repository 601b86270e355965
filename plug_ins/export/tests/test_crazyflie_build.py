"""The files of the Crazyflie's app, and the firmware's make.

- floats are rounded as in the compiled step; the make is told the app's folder
- refused: a policy of rates, a network that is too slow, a build that is too large, a folder that is no firmware
"""

import ctypes
import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pytest

from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli.main import main
from spike_ctrl_export import c_native, crazyflie_app, write_files
from spike_ctrl_export.c_source import Form

pytestmark = pytest.mark.skipif(c_native.compiler() is None, reason="no C compiler")


def test_a_policy_of_rates_is_refused_in_words(tmp_path, capsys):
    model = resources.folder("models") / "sih_quadx.safetensors"
    assert main(["export", str(model), "--to", "crazyflie", "-o", str(tmp_path / "app")]) == 2
    assert "action: found 'rates', wanted 'motors'" in capsys.readouterr().err


def test_a_network_that_is_too_slow_is_refused_in_words(loaded, crazyflie, monkeypatch):
    contract = dataclasses.replace(loaded.manifest.contract, sizes=(18, 1024, 1024, 4))
    manifest = dataclasses.replace(loaded.manifest, contract=contract)
    monkeypatch.setattr(crazyflie_app.c_source, "source", lambda *_: None)
    slow = dataclasses.replace(loaded, manifest=manifest)
    with pytest.raises(UsageError, match="18-1024-1024-4, whose longest step takes"):
        crazyflie_app.app(slow, "big", Form(), crazyflie)


def test_the_flags_of_its_kbuild_round_each_product_and_sum_as_the_compiled_step_does(tmp_path, loaded, crazyflie):
    if "fma" not in Path("/proc/cpuinfo").read_text().split():
        pytest.skip("this processor has no fused multiply-add")
    write_files(tmp_path, crazyflie_app.app(loaded, "crazyflie", Form(), crazyflie))
    kbuild = (tmp_path / "src" / "Kbuild").read_text()
    flags = [flag for line in kbuild.splitlines() if line.startswith("ccflags-y") for flag in line.split("=", 1)[1].split()]
    command = ["gcc", "-std=gnu11", "-Os", "-mfma", *flags, "-shared", "-fPIC", str(tmp_path / "src" / "policy.c")]
    subprocess.run([*command, "-lm", "-o", str(tmp_path / "policy.so")], check=True)  # gnu11, -Os: as the firmware's make
    library, state, compiled = ctypes.CDLL(str(tmp_path / "policy.so")), (ctypes.c_float * 384)(), loaded.compiled()
    library.policy_reset(state)
    seen = np.random.default_rng(3).standard_normal((500, 18)).astype(np.float32)
    known, out = compiled.initial_state(), (ctypes.c_float * 4)()
    for observation in seen:
        action, known = compiled.step(observation, known)
        library.policy_step(state, (ctypes.c_float * 18)(*observation), out)
        np.testing.assert_array_equal(np.array(state, np.float32), known.membrane)
        np.testing.assert_array_equal(np.array(out, np.float32), action)


def firmware(folder, flash=464024, ram=96928):
    """A stand-in for a checkout of the firmware, whose make tells the folder of the app and prints sizes."""
    (folder / "tools" / "make").mkdir(parents=True)
    lines = f"Flash |  {flash}/1032192 (45%)", f"RAM   |   {ram}/131072  (74%)", "CCM   |   65248/65536   (100%)"
    rules = ["%_defconfig:", "\t@echo", "all:", "\t@echo $(OOT_CONFIG) > told", *(f"\t@echo '{line}'" for line in lines)]
    (folder / "tools" / "make" / "oot.mk").write_text("\n".join(rules) + "\n")
    return folder


def test_the_firmwares_make_builds_the_app_wherever_it_is_called_from(tmp_path, loaded, crazyflie, monkeypatch):
    app = tmp_path / "app"
    write_files(app, crazyflie_app.app(loaded, "crazyflie", Form(), crazyflie))
    monkeypatch.setenv("PWD", str(tmp_path))  # as a shell leaves it
    lines = crazyflie_app.build(app, firmware(tmp_path / "firmware"), lambda line: None)
    assert (app / "told").read_text().strip() == str(app / "app-config")
    assert [line.split()[0] for line in lines] == ["Flash", "RAM", "CCM"]


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"flash": 1032193}, "Flash: found 1032193 bytes, wanted at most 1032192"),
        ({"ram": 131073}, "RAM: found 131073 bytes, wanted at most 131072"),
        ({"ram": ""}, "found no size of RAM"),
    ],
)
def test_a_build_that_the_processor_cannot_hold_is_refused_in_words(tmp_path, loaded, crazyflie, sizes, words):
    app = tmp_path / "app"
    write_files(app, crazyflie_app.app(loaded, "crazyflie", Form(), crazyflie))
    with pytest.raises(UsageError, match=words):
        crazyflie_app.build(app, firmware(tmp_path / "firmware", **sizes), lambda line: None)


def test_a_folder_that_is_no_firmware_is_refused_in_words_before_anything_is_written(tmp_path, capsys):
    model = resources.folder("models") / "crazyflie.safetensors"
    command = ["export", str(model), "--to", "crazyflie", "--firmware", str(tmp_path), "-o", str(tmp_path / "app")]
    assert main(command) == 2
    shown = capsys.readouterr()
    assert "found no tools/make/oot.mk, wanted a checkout" in shown.err and not shown.out and not (tmp_path / "app").exists()


def test_a_firmware_without_its_submodules_is_refused_with_the_command_that_gets_them(tmp_path):
    folder = firmware(tmp_path / "firmware")
    for name in ("FreeRTOS", "CMSIS"):
        (folder / "vendor" / name).mkdir(parents=True)
    (folder / "vendor" / "CMSIS" / "README.md").write_text("here")
    with pytest.raises(UsageError, match=r"found nothing in vendor/FreeRTOS, wanted .*git -C .*firmware submodule update"):
        crazyflie_app.require_firmware(folder)


def test_a_missing_compiler_is_refused_with_the_package_that_has_it():
    crazyflie_app.require_compiler(lambda program: f"/usr/bin/{program}")
    with pytest.raises(UsageError, match=r"arm-none-eabi-gcc: not found; apt-get install gcc-arm-none-eabi, or leave"):
        crazyflie_app.require_compiler({"make": "/usr/bin/make"}.get)
