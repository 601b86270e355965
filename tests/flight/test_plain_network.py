"""A whole rehearsed flight by a torch module that knows nothing of this library.

- it takes off, flies its trajectory and lands; nothing is found wrong with a policy that has no spikes
- the flight ends with the time that a step took in onnxruntime
- its recording is replayed bit by bit
"""

import re
import subprocess

import pytest
from output import executable
from plain_networks import Cascade, saved
from programs import may_be_real_time

pytestmark = [pytest.mark.flight, pytest.mark.alone]


def spike_ctrl(folder, *arguments):
    command = [executable("spike-ctrl"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)


def test_a_plain_network_flies_the_rehearsal_and_is_replayed_bit_by_bit(ros_domain_id, tmp_path):
    (tmp_path / "cascade.safetensors").write_bytes(saved(Cascade(), "sih_quadx"))
    realtime = f"realtime:={str(may_be_real_time()).lower()}"
    given = ("vehicle:=embedded", "airframe:=sih_quadx", "model:=cascade.safetensors", "auto:=true", realtime)
    flown = spike_ctrl(tmp_path, "launch", "flight", *given)
    assert flown.returncode == 0, flown.stdout
    found = re.search(r"policy: RMSE ([\d.]+) m, .*; no spikes; SNN ([\d.]+) s", flown.stdout)
    assert float(found[1]) < 0.15 and float(found[2]) > 19
    step = re.search(r"a step of cascade\.safetensors \(OnnxPolicy\): median ([\d.]+) ms", flown.stdout)
    assert 0 < float(step[1]) < 5
    (bag,) = (tmp_path / "bags").iterdir()
    replayed = spike_ctrl(tmp_path, "replay", str(bag))
    same, known = re.search(r"equal bit by bit: (\d+) of (\d+) actions with a known state", replayed.stdout).groups()
    assert replayed.returncode == 0 and same == known and int(known) > 2000
