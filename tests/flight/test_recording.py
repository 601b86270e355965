"""Faults beside the control path: recorder, disks, learner, memory. The policy flies all the time.

- the recorder is killed, its disk is full or slow; the learner is killed: the commands keep their rhythm
- no process grows in memory
"""

import shutil
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from output import executable
from programs import Program
from reactions import GAP, intervals, resident, undisturbed
from rehearsal import SNN
from spike_ctrl_msgs.msg import JumpStart, PolicyStatus

from spike_ctrl.recordings.repair import repair

SLOW_DISK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
static void wait_for_disk(int fd) {
    struct stat about;
    struct timespec two = {2, 0};
    if (!fstat(fd, &about) && S_ISREG(about.st_mode)) nanosleep(&two, 0);
}
ssize_t write(int fd, const void *data, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "write");
    wait_for_disk(fd);
    return real(fd, data, size);
}
int fsync(int fd) {
    static int (*real)(int);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fsync");
    wait_for_disk(fd);
    return real(fd);
}
"""


class Recorders:
    """A recorder of the test in place of the flight's own, and what its diagnostics say."""

    def __init__(self, flight):
        self.flight, self.heard = flight, flight.listen(DiagnosticArray, "/diagnostics")

    def exchange(self, bag, *parameters: str, **environment: str) -> Program:
        if "recorder" in self.flight.nodes():
            self.flight.kill("recorder")
        was = self.flight.started["recorder"]
        words = [word for one in (f"bag:={bag}", *parameters) for word in ("-p", one)]
        command, environment = [*was.command, "--ros-args", *words], was.environment | environment
        self.flight.others.append(Program(command, cwd=was.folder, env=environment))
        return self.flight.others[-1]

    def says(self, name: str, words: str) -> list:
        return [status for array in self.heard for status in array.status if status.name == name and words in status.message]


def counted(recorders, bag, at_least):
    """Whether this bag holds so many messages."""
    said = [{value.key: value.value for value in status.values} for status in recorders.says("recorder", "")]
    return any(values["bag"] == str(bag) and int(values["messages"]) >= at_least for values in said[-3:])


@pytest.mark.proves("21L")
def test_a_killed_recorder_is_reported_disturbs_no_node_and_its_bag_can_be_repaired(flight, reaction):
    recorders, before, since = Recorders(flight), intervals(flight, 1.5), len(flight.status)
    (bag,) = (Path(flight.folder) / "bags").iterdir()
    flight.kill("recorder")
    reaction(undisturbed(before, intervals(flight, 1.5)), GAP, "largest gap between two commands after the kill")
    flight.until(lambda: flight.told("RECORDER_LOST", since), 5)
    flight.until(lambda: recorders.says("supervisor", "RECORDER_LOST"), 5)
    assert recorders.says("supervisor", "RECORDER_LOST")[0].level == b"\x02" and flight.rung == SNN
    flight.restart("recorder")
    flight.until(lambda: len(list((Path(flight.folder) / "bags").iterdir())) == 2, 20, "no new bag")
    repair(bag)
    assert (bag / "metadata.yaml").exists()


@pytest.mark.proves("28L")
def test_a_full_disk_ends_the_recording_and_disturbs_no_node(flight, tmp_path, reaction):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", disk], capture_output=True).returncode == 0
    if not mounted:  # what a full disk answers to a write, a limit on the size of files answers too
        pytest.skip("no file system can be mounted here; tests/launch/test_recorder.py fills one by RLIMIT_FSIZE")
    try:
        recorders, before = Recorders(flight), intervals(flight, 1.0)
        recorder = recorders.exchange(disk / "bag", "reserve_mb:=0.0")
        flight.until(lambda: recorders.says("recorder", "recording stopped"), 30, "the disk is never full")
        status = recorders.says("recorder", "recording stopped")[0]
        assert status.level == b"\x02" and "No space left on device" in status.message, status
        worst = undisturbed(before, intervals(flight, 1.5))
        reaction(worst, GAP, "largest gap between two commands with the disk full")
        assert recorder.process.poll() is None and flight.rung == SNN
        # The learner's part: a checkpoint that does not fit leaves the one before.
        from spike_ctrl.policy import checkpoint

        found = checkpoint.load(flight.model)
        target = disk / "policy.safetensors"
        for filler in disk.rglob("*.mcap"):
            filler.unlink()
        checkpoint.save(target, found.weights, found.manifest.contract)
        with open(disk / "filler", "wb", buffering=0) as filler, pytest.raises(OSError):
            while True:
                filler.write(bytes(4096))
        with pytest.raises(checkpoint.CheckpointError, match="no space left"):
            checkpoint.save(target, found.weights, found.manifest.contract)
        assert checkpoint.load(target).manifest.contract == found.manifest.contract
    finally:
        for program in flight.others:
            program.kill()
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.proves("29L")
def test_a_slow_disk_does_not_reach_control(flight, tmp_path, reaction):
    (tmp_path / "slow.c").write_text(SLOW_DISK)
    compiler = shutil.which("gcc") or shutil.which("g++")
    options = ("-shared", "-fPIC", "-O1", "-x", "c", "slow.c", "-o", "slow.so", "-ldl")
    subprocess.run([compiler, *options], cwd=tmp_path, check=True)
    recorders, before = Recorders(flight), intervals(flight, 1.0)
    recorders.exchange(tmp_path / "bag", LD_PRELOAD=str(tmp_path / "slow.so"))
    flight.until(lambda: counted(recorders, tmp_path / "bag", 200), 40, "it does not record")
    after = intervals(flight, 5.0)
    reaction(undisturbed(before, after), GAP, "largest gap between two commands while writes take 2 s each")
    heard = [status for status in recorders.says("recorder", "")]
    assert heard and flight.rung == SNN


@pytest.mark.proves("18L")
def test_a_killed_learner_does_not_reach_control(flight, reaction):
    said = flight.listen(PolicyStatus, "policy/status")
    flight.listen(JumpStart, "jump_start")  # it begins when somebody listens, as a simulator does
    command = [executable("learner"), "--ros-args", "-r", "__node:=learner"]
    words = [w for p in ("recipe:=td3bc", "airframe:=sih_quadx", "vehicles:=1", "run:=learned") for w in ("-p", p)]
    learner = flight.start("nice", "-n", "19", *command, *words)
    try:
        refused = "in simulation 16 of 16"  # so far it has learned nothing
        flight.until(lambda: any(refused in status.detail for status in said), 40, "the learner's checkpoint is not tried")
    finally:
        print(learner.output)
    who, before = flight.commands[-1].checkpoint_id, intervals(flight, 1.5)
    learner.kill()
    reaction(undisturbed(before, intervals(flight, 1.5)), GAP, "largest gap between two commands after the kill")
    assert flight.rung == SNN and flight.commands[-1].checkpoint_id == who


@pytest.mark.proves("31L")
def test_no_process_grows_in_memory_while_the_policy_flies(flight):
    """Half a minute; `make soak` flies ten."""
    nodes = flight.nodes()
    intervals(flight, 2.0)
    memory = {name: [resident(node.process)] for name, node in nodes.items()}
    end = time.monotonic() + 20.0
    while time.monotonic() < end:
        intervals(flight, 2.0)
        for name, node in nodes.items():
            memory[name].append(resident(node.process))
    for name, sizes in memory.items():
        assert sizes[-1] - sizes[0] < 3.0, f"{name} grows: {sizes} MB"
    assert flight.rung == SNN and all(b >= a for a, b in pairwise(flight.stamps()[-100:]))
