"""Which models snn_policy lets fly, and what it has done before it answers for the first time.

- a model that does not load ends the node with one line
- a checkpoint that is not in the list of allowed files does not fly, neither the model given nor one that arrives
- once it flies no collection of garbage goes through what the model brought
- in real time each runtime adds in one order
- in flight it is ready for a candidate of either kind before it answers: nothing is compiled or imported beside the control
"""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from output import executable
from policy_talker import VEHICLES, WARM_UP, a_checkpoint, send

from spike_ctrl._files import resources
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.ordered_runtime import OrderedPolicy
from spike_ctrl_policy.loader import Loader, of_file


def test_a_model_that_does_not_load_ends_the_node_with_one_line_that_names_it(ros_domain_id, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(a_checkpoint(1)[:-1])
    command = [executable("snn_policy"), "--ros-args", "-p", f"model:={tmp_path / 'model.safetensors'}"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.returncode == 1 and "Traceback" not in found.stderr
    assert found.stderr.splitlines()[-1].startswith(f"error: refused: {tmp_path / 'model.safetensors'}: ")


def test_a_checkpoint_that_arrives_is_held_to_the_list(start_policy, tmp_path):
    listed = tmp_path / "allowed.txt"
    listed.write_text("".join(f"{hashlib.sha256(a_checkpoint(seed)).hexdigest()}  file\n" for seed in (1, 2)))
    talker = start_policy(VEHICLES, f"allowed_models:={listed}")
    talker.ask()
    send(talker, a_checkpoint(3), "foreign")
    found = hashlib.sha256(a_checkpoint(3)).hexdigest()
    wanted = f"refused: foreign: sha256: found {found}, wanted one of the 2 in {listed}"
    talker.until(lambda: [status for status in talker.status if status.detail == wanted])
    for _ in range(2 * WARM_UP):
        assert talker.ask().checkpoint_id.endswith("model.safetensors")
    send(talker, a_checkpoint(2), "listed")
    talker.until(lambda: talker.ask().checkpoint_id == "listed")


@pytest.mark.parametrize(
    "text, words", [("0" * 64 + "  other\n", "sha256: found "), ("12ab\n", "line 1: found '12ab', wanted a sha256")]
)
def test_a_model_that_is_not_in_the_list_ends_the_node_with_one_line(ros_domain_id, tmp_path, text, words):
    model, listed = tmp_path / "model.safetensors", tmp_path / "allowed.txt"
    model.write_bytes(a_checkpoint(1))
    listed.write_text(text)
    given = [word for pair in (f"model:={model}", f"allowed_models:={listed}") for word in ("-p", pair)]
    command = [executable("snn_policy"), "--ros-args", *given]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.returncode == 2 and "Traceback" not in found.stderr
    assert words in found.stderr.splitlines()[-1] and str(listed) in found.stderr.splitlines()[-1]


def test_a_collection_of_garbage_in_flight_does_not_go_through_what_the_model_brought(ros_domain_id):
    """It would take 20 ms, of which two make the supervisor take the policy for silent."""
    model = resources.folder("models") / "sih_quadx.safetensors"
    program = (
        "import gc, sys, rclpy\n"
        "from spike_ctrl_policy.snn_policy_node import SnnPolicy\n"
        "rclpy.init(args=sys.argv)\n"
        "node = SnnPolicy()\n"
        "node.trigger_configure()\n"
        "print(node.pilot.flown is not None, len(gc.get_objects()))\n"
    )
    given = (f"model:={model}", "airframe:=sih_quadx", "flight:=true", "autostart:=false")
    command = [sys.executable, "-c", program, "--ros-args", *(w for p in given for w in ("-p", p))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    flown, objects = done.stdout.split()[-2:]
    assert flown == "True" and int(objects) < 20_000, done.stdout


READY = """
import sys
from spike_ctrl_policy.loader import Loader
Loader(compiled=True, expect={}, realtime=True, allowed=None, rehearsed=None).get_ready()
from spike_ctrl.policy.compiled_runtime import _ordered
print(len(_ordered.signatures), "onnxruntime" in sys.modules)
"""


def test_in_real_time_numpy_steps_with_the_sums_of_the_compiled_step_and_a_training_graph_with_its_own():
    message = of_file(str(resources.folder("models") / "crazyflie_robust.safetensors"))
    made = [Loader(False, {}, realtime, None, None).message(message).policy for realtime in (True, False)]
    assert [type(policy) for policy in made] == [OrderedPolicy, SpikingPolicy]


def test_what_only_the_first_policy_of_a_kind_needs_is_done_before_any_flies(ros_domain_id):
    pytest.importorskip("onnxruntime")
    told = subprocess.run([sys.executable, "-c", READY], capture_output=True, text=True, timeout=120)
    assert told.stdout == "1 True\n", told.stderr
    model = resources.folder("models") / "sih_quadx.safetensors"
    given = ("flight:=true", "airframe:=sih_quadx", f"model:={model}")
    node = subprocess.Popen([executable("snn_policy"), "--ros-args", *(w for p in given for w in ("-p", p))])
    try:
        deadline = time.monotonic() + 20
        while "onnxruntime" not in Path(f"/proc/{node.pid}/maps").read_text():
            assert time.monotonic() < deadline and node.poll() is None, "the network of another kind is met in the air"
            time.sleep(0.05)
    finally:
        node.send_signal(signal.SIGINT)
        node.wait(60)
