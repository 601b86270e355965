"""The verb silicon and the format fpga, as the command line calls them.

- widths flies each width and writes the figures
- what is out of range is refused, and names the option
- the power of a placed core follows from its parts, its cycles and its rate
- flight: the written folder passes its own testbench; a wrong weight fails it
"""

import argparse
import json
import subprocess
from pathlib import Path

import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli.main import main
from spike_ctrl.policy import checkpoint
from spike_ctrl_silicon import placed_core, power, silicon_verb, simulated_core, to_fpga

MODEL = "models/crazyflie.safetensors"


def silicon(*words):
    parser = argparse.ArgumentParser()
    silicon_verb.add(parser)
    return silicon_verb.run(parser.parse_args([*map(str, words)]))


def exported(*words):
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--output", type=Path)
    for flag, about in to_fpga.OPTIONS.items():
        parser.add_argument(f"--{flag}", **about)
    options = parser.parse_args([*map(str, words)])
    return to_fpga.write(options, checkpoint.load(options.model))


def test_widths_flies_each_width_and_writes_the_figures(tmp_path, capsys):
    assert silicon("widths", MODEL, "--bits", 8, 3, "--starts", 16, "--json", tmp_path / "widths.json") == 0
    found = json.loads((tmp_path / "widths.json").read_text())
    returns = [one["columns"]["1.5m_start"]["return_mean"] for one in found.values()]
    assert list(found) == [
        "float32",
        "int8 weights, 12 bit leaks, int16 membranes",
        "int3 weights, 12 bit leaks, int16 membranes",
    ]
    assert returns[1] > 0.99 * returns[0] and returns[2] < returns[1]
    assert "% of float32's returns" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("widths", MODEL, "--bits", 9), "weights"),
        (("widths", MODEL, "--starts", 0), "--starts: found 0, wanted 1 to 1000000"),
        (("loihi", MODEL, "--starts", -1), "--starts: found -1"),
        (("loihi", MODEL, "--seconds", 10), "--seconds: found without --energy, wanted only with it"),
        (("loihi", MODEL, "--energy", "--starts", 16), "--starts: found with --energy, wanted only without it"),
        (("loihi", MODEL, "--energy", "--seconds", 0), "--seconds: found 0, wanted 5 to 600"),
        (("tune", MODEL, "--seed", -1, "-o", "x.safetensors"), "--seed: found -1, wanted 0 to 4294967295"),
        (("cost", MODEL, "--bits", 0), "found 0 bits, wanted 2 to 8"),
        (("cost", MODEL, "--seconds", 0), "--seconds"),
        (("tune", MODEL, "--updates", 0, "-o", "x.safetensors"), "--updates"),
        (("tune", MODEL, "-o", MODEL), "--output: found the model models/crazyflie.safetensors, wanted a"),
        (("fly", MODEL, "--flights", 0), "--flights"),
    ],
)
def test_what_is_out_of_range_is_refused(words, named):
    with pytest.raises(UsageError, match=named):
        silicon(*words)


def test_a_core_of_no_bits_or_lanes_is_refused(tmp_path):
    with pytest.raises(UsageError, match="found 0 bits, wanted 2 to 8"):
        exported(MODEL, "--bits", 0, "--output", tmp_path)
    with pytest.raises(UsageError, match="lanes: found 0, wanted one of 1, 2, 4"):
        exported(MODEL, "--lanes", 0, "--output", tmp_path)


def test_no_bits_are_an_option_of_another_format_too(tmp_path, capsys):
    assert main(["export", MODEL, "--to", "c", "--bits", "0", "-o", str(tmp_path / "c")]) == 2
    assert "--bits: found with --to c, wanted only with --to fpga" in capsys.readouterr().err


def test_power_follows_from_parts_cycles_and_rate():
    parts = power.Parts(rams=10, multipliers=2, nets=800, flip_flops=100)
    found = power.estimate(parts, 1000, 100)
    assert found.step_uj == pytest.approx(1000 * (10 * 10 + 2 * 5 + 800 * 0.125 * 0.5) * 1e-6)
    assert found.steps_mw == pytest.approx(100 * found.step_uj * 1e-3)
    assert found.clock_mw == pytest.approx(50e6 * 0.04e-12 * 100 * 1e3)


def test_a_report_of_another_tool_is_refused(tmp_path):
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(UsageError, match="nextpnr"):
        placed_core.read(tmp_path / "report.json")


@pytest.mark.flight
@pytest.mark.skipif(simulated_core.missing() is not None, reason=str(simulated_core.missing()))
def test_the_written_folder_passes_its_own_testbench_and_a_wrong_weight_fails_it(tmp_path, capsys):
    assert exported(MODEL, "--output", tmp_path / "core", "--bits", 4, "--lanes", 4) == 0
    assert "equal to the integer network bit by bit; lint clean" in capsys.readouterr().out
    folder = tmp_path / "core"
    sources = ["testbench.sv", "policy.sv", "spike_core.sv"]
    build = ["verilator", "--binary", "--top-module", "testbench", *sources, "-MAKEFLAGS", "OPT_FAST=-O0"]
    assert all(f" {name}" in (folder / "README.md").read_text() for name in sources)
    subprocess.run(build, cwd=folder, check=True, capture_output=True, timeout=300)
    passed = subprocess.run(["obj_dir/Vtestbench"], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert passed.returncode == 0 and "128 steps, 0 wrong actions" in passed.stdout
    words = (folder / "weights.hex").read_text().splitlines()
    (folder / "weights.hex").write_text("\n".join("7" * len(word) for word in words) + "\n")
    failed = subprocess.run(["obj_dir/Vtestbench"], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert failed.returncode != 0 and " 0 wrong actions" not in failed.stdout
