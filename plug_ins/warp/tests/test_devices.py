"""Devices where Warp is not installed: the refusal names what to install, before anything is compiled or written."""

import importlib.util

import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli.main import main
from spike_ctrl_warp import devices


@pytest.fixture
def without_warp(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "warp" else find(name, *more))


@pytest.mark.parametrize("name", ["warp", "cuda", "cuda:1"])
def test_a_device_without_warp_is_refused_with_the_command_that_installs_it(without_warp, name):
    with pytest.raises(
        UsageError, match=rf"device: found '{name}' without Warp, wanted .*pip install './plug_ins/warp\[gpu\]'"
    ):
        devices.methods(name)


@pytest.mark.installed
def test_the_verb_refuses_it_and_writes_no_run(without_warp, tmp_path, capsys):
    assert main(["train", "default", "--device", "warp", "--run", str(tmp_path / "run")]) == 2
    assert "pip install './plug_ins/warp[gpu]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
