"""A demonstration flight: what it refuses leaves nothing behind."""

import pytest
from refusal import refused

from spike_ctrl.cli import main

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["-o", "/proc/x/y"], "--output /proc/x/y: cannot be written (No such file or directory)"),
        (["--plants", "noise:=loud"], "the value of noise: found 'loud', wanted float"),
        (["--plants", "seed:=-1"], "seed: found -1, wanted 0 to 4294967295"),
        (["--plants", "-o", "figures"], "--output: found figures with --plants, wanted none: it writes no files"),
    ],
)
def test_what_the_demo_cannot_use_is_refused_by_its_option(arguments, message, capsys):
    assert refused(capsys, "demo", *arguments) == message


def test_a_demo_that_the_launch_refuses_says_so_once_and_leaves_no_folder(tmp_path, capfd):
    assert main.main(["demo", "foo:=1", "-o", str(tmp_path / "out")]) == 2
    shown = capfd.readouterr()
    assert shown.out == "" and shown.err.startswith("launch: unknown argument 'foo'") and shown.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_demo_whose_folder_has_too_long_a_name_is_refused(tmp_path, capsys):
    long = tmp_path / ("a" * 300)
    assert refused(capsys, "demo", "--output", str(long)) == f"--output {long}: cannot be written (File name too long)"
