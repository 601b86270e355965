"""Exports of a policy whose observation ends with the battery's voltage."""

import pytest
from seeing_voltage import seeing

from spike_ctrl.policy import checkpoint
from spike_ctrl.snn.neuron import Neuron, Reset
from spike_ctrl_export import c_native, c_source
from spike_ctrl_export import nir as export_nir
from spike_ctrl_export import onnx as export_onnx


@pytest.mark.skipif(c_native.compiler() is None, reason="no C compiler")
def test_exported_c_takes_the_voltage_as_its_header_says(tmp_path):
    loaded = checkpoint.loads(seeing(weight=0.05))
    written = c_source.source(loaded, "seeing")
    c_source.write(tmp_path, written)
    c_native.self_test(tmp_path)  # the C gives the checkpoint's actions, all 19 numbers vary
    header, seen = written.files["policy.h"], loaded.manifest.contract.voltage
    assert "#define POLICY_INPUTS 19\n" in header and "POLICY_VOLTAGE\n}" in header
    assert f"#define POLICY_VOLTAGE_MIDDLE {seen.middle!r}f\n#define POLICY_VOLTAGE_SPAN {seen.span!r}f\n" in header
    assert "POLICY_VOLTAGE" not in c_source.source(checkpoint.load("crazyflie"), "blind").files["policy.h"]


def test_graphs_for_other_runtimes_say_how_the_voltage_is_seen():
    nir, onnx = pytest.importorskip("nir"), pytest.importorskip("onnx")
    del nir, onnx
    loaded = checkpoint.loads(seeing(weight=0.05, neuron=Neuron(Reset.HARD, recurrent=True)))
    seen = loaded.manifest.contract.voltage
    wanted = {"voltage_middle": seen.middle, "voltage_span": seen.span}
    assert wanted.items() <= export_nir.graph(loaded, "seeing").metadata.items()
    told = {entry.key: entry.value for entry in export_onnx.model(loaded).metadata_props}
    assert {name: str(value) for name, value in wanted.items()}.items() <= told.items()
    assert told["observation"] == "setpoint_frame_18_voltage"
