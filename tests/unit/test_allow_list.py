"""The list of the models that an aircraft may fly."""

import hashlib
import shutil
import subprocess

import pytest

from spike_ctrl.policy import allow_list
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
