"""The list of the models that an aircraft may fly."""

import hashlib
import shutil
import subprocess

import pytest

from spike_ctrl.policy import allow_list, checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError


def test_what_sha256sum_writes_is_a_list(tmp_path):
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:
        file.write_text(file.name)
    listed = tmp_path / "allowed.txt"
    printed = subprocess.run([shutil.which("sha256sum"), *files], capture_output=True, text=True, check=True).stdout
    listed.write_text(f"# of this aircraft\n\n{printed.upper()}")
    found = allow_list.read(listed)
    for file in files:
        found.require(file.read_bytes(), file.name)
    with pytest.raises(CheckpointError) as caught:
        found.require(b"three", "three")
    wanted = f"three: sha256: found {hashlib.sha256(b'three').hexdigest()}, wanted one of the 2 in {listed}"
    assert str(caught.value) == wanted


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "found no sha256, wanted at least one: sha256sum MODEL >> "),
        ("# nothing\n", "found no sha256, wanted at least one"),
        ("# a\nabc  model", "line 2: found 'abc', wanted a sha256, 64 hexadecimal digits"),
        ("0" * 63 + "g", "line 1: found '0"),
    ],
)
def test_a_list_that_lists_nothing_is_refused(tmp_path, text, words):
    listed = tmp_path / "allowed.txt"
    listed.write_text(text)
    with pytest.raises(CheckpointError) as caught:
        allow_list.read(listed)
    assert str(caught.value).startswith(f"{listed}: ") and words in str(caught.value)


def test_a_list_that_is_missing_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere: cannot be read: No such file or directory"):
        allow_list.read(tmp_path / "nowhere")


def test_children_fly_only_where_the_list_says_so(tmp_path):
    """A child says whose it is. Its parent in the list is not enough."""
    parent = checkpoint.read("models/crazyflie.safetensors")
    found, total = checkpoint.loads(parent), hashlib.sha256(parent).hexdigest()

    def child(ancestor):
        about = {"parent": "0" * 64, "ancestor": ancestor}  # a grandchild names the first of its line
        return checkpoint.dumps(found.weights, found.manifest.contract, adaptation=about)

    listed = tmp_path / "allowed.txt"
    listed.write_text(f"{total}  crazyflie\n")
    with pytest.raises(CheckpointError, match="sha256: found"):
        allow_list.read(listed).require(child(total), "child")
    listed.write_text(f"{total}  crazyflie\nchildren of {total}  # tuned in flight\n")
    allowed = allow_list.read(listed)
    allowed.require(child(total), "child")
    allowed.require(parent, "parent")
    for other in (child("1" * 64), b"garbage", checkpoint.dumps(found.weights, found.manifest.contract)):
        with pytest.raises(CheckpointError):
            allowed.require(other, "other")


def test_a_checkpoint_keeps_what_it_was_tuned_for_and_one_that_was_not_tuned_is_as_before():
    parent = checkpoint.read("models/crazyflie.safetensors")
    found = checkpoint.loads(parent)
    about = {"parent": hashlib.sha256(parent).hexdigest(), "ancestor": "a", "estimate": {"thrust": 0.7}}
    child = checkpoint.loads(checkpoint.dumps(found.weights, found.manifest.contract, adaptation=about)).manifest
    assert (child.adaptation, child.parent, child.ancestor) == (about, about["parent"], "a")
    assert b"adaptation" not in checkpoint.dumps(found.weights, found.manifest.contract)
    assert not found.manifest.parent
