"""Bags are what other tools read, and what a killed process, a full disk or a cut file leaves can be had back.

Oracles: rosbags' AnyReader, the readers of the `mcap` and `mcap-ros2-support` packages, the hashes that rosidl computed.
"""

import json
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.records import Chunk
from mcap.stream_reader import StreamReader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Nodetype, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

from spike_ctrl.cli import main
from spike_ctrl.recordings import BagError, message_definitions
from spike_ctrl.recordings.bag_messages import messages
from spike_ctrl.recordings.reader import read
from spike_ctrl.recordings.repair import repair
from spike_ctrl.recordings.writer import BagWriter

pytestmark = pytest.mark.slow

STATE, ACTION = "spike_ctrl_msgs/msg/VehicleState", "spike_ctrl_msgs/msg/VehicleAction"
FOREVER = QosTime(9223372036, 854775807)
PROFILE = Qos(
    QosHistory.KEEP_LAST, 7, QosReliability.BEST_EFFORT, QosDurability.TRANSIENT_LOCAL, FOREVER, FOREVER,
    QosLiveliness.AUTOMATIC, FOREVER, False,
)  # fmt: skip
START = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def store():
    store = message_definitions.standard()
    for kind in (STATE, ACTION):
        message_definitions.add(store, kind, [sys.prefix])
    return store


def state(store, tick: int):
    random = np.random.default_rng(tick)
    header = store.types["std_msgs/msg/Header"](store.types["builtin_interfaces/msg/Time"](tick // 100, tick % 100), "odom")
    arrays = [random.standard_normal(size).astype(np.float32) for size in (36, 8, 12, 0)]
    return store.types[STATE](header, tick, 3, 2, np.uint8([1, tick % 16]), *arrays)


def data(store, tick: int) -> bytes:
    return bytes(store.serialize_cdr(state(store, tick), STATE))


def write(path, store, ticks: int, flush_each: int = 50, **options) -> BagWriter:
    writer = BagWriter(path, store, **options)
    writer.add_topic("/state", STATE, [PROFILE])
    for tick in range(ticks):
        writer.write("/state", START + tick, data(store, tick))
        if tick % flush_each == flush_each - 1:
            writer.flush()
    return writer


def ticks(path) -> list[int]:
    with AnyReader([Path(path)]) as reader:
        return [reader.deserialize(raw, connection.msgtype).tick for connection, _, raw in reader.messages()]


def test_what_is_no_mcap_file_and_a_folder_without_one_are_told_apart(tmp_path):
    (tmp_path / "garbage.mcap").write_bytes(b"no MCAP at all" * 100)
    with pytest.raises(BagError, match=r"garbage.mcap: found no MCAP file, wanted one or a bag's folder$"):
        read(tmp_path / "garbage.mcap")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BagError, match=r"empty: found no .mcap file, wanted a bag$"):
        read(tmp_path / "empty")


def test_every_field_is_read_by_rosbags_and_by_mcap(store, tmp_path):
    write(tmp_path / "bag", store, 200).close()
    with AnyReader([tmp_path / "bag"]) as reader:
        found = [(time, reader.deserialize(raw, connection.msgtype)) for connection, time, raw in reader.messages()]
    with open(tmp_path / "bag" / "bag_0.mcap", "rb") as file:
        decoded = list(make_reader(file, decoder_factories=[DecoderFactory()]).iter_decoded_messages())
    assert len(found) == len(decoded) == 200
    for tick, ((time, one), (_, channel, message, other)) in enumerate(zip(found, decoded, strict=True)):
        wanted = state(store, tick)
        assert time == message.log_time == START + tick and channel.topic == "/state"
        for name in ("tick", "epoch", "vehicles"):
            assert getattr(one, name) == getattr(other, name) == getattr(wanted, name)
        for name in ("flags", "observation", "rotor_speed", "disturbance", "plant"):
            np.testing.assert_array_equal(getattr(one, name), getattr(wanted, name))
            np.testing.assert_array_equal(np.frombuffer(bytes(getattr(other, name)), np.uint8) if name == "flags"
                                          else np.float32(getattr(other, name)), getattr(wanted, name))  # fmt: skip
        for header in (one.header, other.header):
            assert (header.stamp.sec, header.stamp.nanosec, header.frame_id) == (tick // 100, tick % 100, "odom")


def test_every_field_of_every_message_of_ours_is_read_by_rosbags_and_by_mcap(store, tmp_path):
    """Arrays, text, lists of text, constants and nested headers, at random; both readers must see the same values."""
    names = sorted(path.stem for path in (Path(sys.prefix) / "share" / "spike_ctrl_msgs" / "msg").glob("*.msg"))
    assert len(names) > 12
    writer, wanted = BagWriter(tmp_path / "bag", store), {}
    for number, name in enumerate(names):
        kind = f"spike_ctrl_msgs/msg/{name}"
        message_definitions.add(store, kind, [sys.prefix])
        wanted[f"/{name}"] = message = anything(store, kind, np.random.default_rng(number))
        writer.add_topic(f"/{name}", kind)
        writer.write(f"/{name}", START + number, bytes(store.serialize_cdr(message, kind)))
    writer.close()
    with AnyReader([tmp_path / "bag"]) as reader:
        found = {c.topic: reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages()}
    with open(tmp_path / "bag" / "bag_0.mcap", "rb") as file:
        decoded = make_reader(file, decoder_factories=[DecoderFactory()]).iter_decoded_messages()
        others = {channel.topic: message for _, channel, _, message in decoded}
    assert set(found) == set(others) == set(wanted)
    for topic, message in wanted.items():
        assert plain(store, found[topic], message) == plain(store, message, message), topic
        assert plain(store, others[topic], message) == plain(store, message, message), topic


def anything(store, kind, random):
    """A message of that type with a value in every field."""

    def one(about):
        what, detail = about
        if what is Nodetype.NAME:
            return anything(store, detail, random)
        if what is not Nodetype.BASE:
            count = detail[1] if what is Nodetype.ARRAY else 3
            values = [one(detail[0]) for _ in range(count)]
            return values if isinstance(values[0], str) else np.array(values, detail[0][1][0])
        name = detail[0]
        if name == "string":
            return "".join(random.choice(list("abc µ√"), 5))
        if name == "bool":
            return bool(random.integers(2))
        if name.startswith("float"):
            return np.dtype(name).type(random.standard_normal()).item()
        return int(random.integers(0, min(np.iinfo(name).max, 2**62)))

    return store.types[kind](**{name: one(about) for name, about in store.fielddefs[kind][1]})


def plain(store, message, like):
    """The fields of a message as nested lists, whoever read it; `like` says what type it is."""
    found = []
    for name, about in store.fielddefs[like.__msgtype__][1]:
        value, original = getattr(message, name), getattr(like, name)
        if about[0] is Nodetype.NAME:
            value = plain(store, value, original)
        elif about[0] is not Nodetype.BASE:
            value = list(value) if isinstance(original, list) else np.array(list(value), original.dtype).tolist()
        found.append((name, value))
    return found


def test_qos_profiles_are_kept_in_metadata_and_file(store, tmp_path):
    write(tmp_path / "bag", store, 1).close()
    for path in (tmp_path / "bag", tmp_path / "bag" / "bag_0.mcap"):
        with AnyReader([path]) as reader:
            assert reader.connections[0].ext.offered_qos_profiles == [PROFILE]


@pytest.mark.parametrize("kind", [STATE, ACTION])
def test_the_hash_of_a_type_is_the_one_that_rosidl_computed(store, kind):
    package, _, name = kind.split("/")
    described = json.loads((Path(sys.prefix) / "share" / package / "msg" / f"{name}.json").read_text())
    wanted = next(t["hash_string"] for t in described["type_hashes"] if t["type_name"] == kind)
    assert store.hash_rihs01(kind) == wanted


def test_a_type_without_a_definition_is_refused_with_the_places_searched(tmp_path):
    with pytest.raises(BagError, match=rf"^nobody_msgs/msg/None: no definition; searched {tmp_path}/share/nobody_msgs/msg"):
        message_definitions.add(message_definitions.standard(), "nobody_msgs/msg/None", [tmp_path])


def test_types_bring_the_types_they_are_made_of(tmp_path):
    for package, name, text in (("b_msgs", "Inner", "int8 x"), ("a_msgs", "Outer", "b_msgs/Inner[2] inner")):
        (tmp_path / "share" / package / "msg").mkdir(parents=True)
        (tmp_path / "share" / package / "msg" / f"{name}.msg").write_text(text)
    store = message_definitions.standard()
    message_definitions.add(store, "a_msgs/msg/Outer", [tmp_path])
    assert "int8 x" in store.generate_msgdef("a_msgs/msg/Outer", ros_version=2)[0]


def test_segments_end_at_their_size_and_are_read_as_one(store, tmp_path):
    write(tmp_path / "bag", store, 1000, max_bytes=50_000).close()
    files = sorted((tmp_path / "bag").glob("*.mcap"))
    assert len(files) > 3 and max(file.stat().st_size for file in files) < 60_000
    assert {file.name for file in (tmp_path / "bag").iterdir()} == {*(file.name for file in files), "metadata.yaml"}
    assert ticks(tmp_path / "bag") == list(range(1000))


def test_finished_segments_are_a_readable_bag_while_the_next_is_written(store, tmp_path):
    writer = write(tmp_path / "bag", store, 1000, max_bytes=50_000)
    found = ticks(tmp_path / "bag")
    assert 500 < len(found) < 1000 and found == list(range(len(found)))
    writer.close()


def test_a_bag_that_exists_is_not_written_over(store, tmp_path):
    (tmp_path / "bag").mkdir()
    with pytest.raises(BagError, match="bag: exists already, wanted the name of a new bag"):
        BagWriter(tmp_path / "bag", store)


WRITE_FOREVER = """
import itertools, pathlib, resource, sys
sys.path.insert(0, sys.argv[2])
import test_recordings
from spike_ctrl.recordings import BagError, message_definitions
from spike_ctrl.recordings.writer import BagWriter
store = message_definitions.standard()
message_definitions.add(store, test_recordings.STATE, [sys.prefix])
writer = BagWriter(sys.argv[1], store, max_bytes=300_000)
writer.add_topic("/state", test_recordings.STATE)
messages = [test_recordings.data(store, tick) for tick in range(100)]
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    for tick in itertools.count():
        writer.write("/state", tick, messages[tick % 100])
        if tick % 100 == 99:
            writer.flush()
            print(tick + 1, flush=True)
except BagError as error:
    writer.abandon()
    print(error, flush=True)
"""


def start(path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITE_FOREVER, str(path), str(Path(__file__).parent), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_writer_loses_only_what_came_after_its_last_flush(tmp_path):
    process = start(tmp_path / "bag")
    flushed = next(int(line) for line in process.stdout if int(line) >= 2500)
    process.send_signal(signal.SIGKILL)
    flushed = max([flushed, *(int(line) for line in process.stdout)])
    process.wait(60)
    repair(tmp_path / "bag")
    found = ticks(tmp_path / "bag")
    assert len(found) >= flushed and found == [tick % 100 for tick in range(len(found))]
    assert not [path for path in (tmp_path / "bag").iterdir() if path.is_dir()]


def test_a_full_disk_is_named_and_what_was_written_can_be_had_back(tmp_path):
    process = start(tmp_path / "bag", "200000")
    *flushed, complaint = process.communicate(timeout=120)[0].splitlines()
    assert complaint == f"{tmp_path / 'bag'}: cannot be written: File too large"
    repair(tmp_path / "bag")
    assert len(ticks(tmp_path / "bag")) >= int(flushed[-1]) >= 100


def test_a_whole_bag_stays_as_it_is(store, tmp_path):
    write(tmp_path / "bag", store, 1000, max_bytes=50_000).close()
    before = {file.name: file.read_bytes() for file in (tmp_path / "bag").glob("*.mcap")}
    assert all(found.whole for found in repair(tmp_path / "bag"))
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "bag").glob("*.mcap")}
    assert ticks(tmp_path / "bag") == list(range(1000))


def test_a_bag_cut_anywhere_is_repaired_or_refused_in_words(store, tmp_path):
    write(tmp_path / "whole", store, 1000, flush_each=100).close()
    whole = (tmp_path / "whole" / "whole_0.mcap").read_bytes()
    sizes = []
    for cut in [0, 5, 30, *np.random.default_rng(0).integers(0, len(whole), 20), len(whole) - 1]:
        path = tmp_path / f"{cut}.mcap"
        path.write_bytes(whole[:cut])
        try:
            (found,) = repair(path)
        except BagError as error:
            assert "no complete chunk" in str(error) and "\n" not in str(error)
            assert path.read_bytes() == whole[:cut]
            continue
        sizes.append(found.messages)
        assert ticks(path) == list(range(found.messages))
        assert found.messages >= 100 * (int(cut / len(whole) * 10) - 1)
        with open(path, "rb") as file:
            assert make_reader(file).get_summary().statistics.message_count == found.messages
        assert repair(path)[0].whole
    assert len(set(sizes)) > 5


def test_a_tail_of_zeros_as_after_a_power_failure_is_left_out(store, tmp_path):
    write(tmp_path / "bag", store, 1000, flush_each=100).close()
    file = tmp_path / "bag" / "bag_0.mcap"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))
    repair(tmp_path / "bag")
    found = ticks(tmp_path / "bag")
    assert 300 <= len(found) < 600 and found == list(range(len(found)))


def test_repair_keeps_profiles_types_and_times(store, tmp_path):
    write(tmp_path / "bag", store, 100).abandon()
    repair(tmp_path / "bag")
    with AnyReader([tmp_path / "bag"]) as reader:
        (connection,) = reader.connections
        assert (connection.topic, connection.msgtype) == ("/state", STATE)
        assert connection.ext.offered_qos_profiles == [PROFILE] and connection.digest == store.hash_rihs01(STATE)
        assert [time for _, time, _ in reader.messages()] == [START + tick for tick in range(100)]


def test_the_verb_repairs_and_refuses_in_one_line(store, tmp_path, capsys):
    write(tmp_path / "bag", store, 120).abandon()
    assert main.main(["repair", str(tmp_path / "bag")]) == 0
    assert capsys.readouterr().out.startswith("bag_0.mcap: repaired, 100 messages")
    assert main.main(["repair", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'nothing'}: found no .mcap file, wanted a bag\n"


def test_a_chunk_carries_its_checksum_and_a_flipped_bit_in_it_is_no_whole_bag(store, tmp_path):
    write(tmp_path / "bag", store, 100).close()
    (file,) = (tmp_path / "bag").glob("*.mcap")
    found = [record for record in StreamReader(file.open("rb"), emit_chunks=True).records if isinstance(record, Chunk)]
    assert found and all(chunk.uncompressed_crc == zlib.crc32(chunk.data) for chunk in found)  # by the mcap package
    data, at = bytearray(file.read_bytes()), file.read_bytes().index(found[-1].data) + len(found[-1].data) // 2
    data[at] ^= 4
    file.write_bytes(data)
    assert not repair(tmp_path / "bag")[0].whole


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_makes_the_reader_raise_anything_but_one_line(store, tmp_path, place, bit):
    whole = tmp_path / "whole"
    if not whole.exists():
        write(whole, store, 60).close()
    data = bytearray(next(whole.glob("*.mcap")).read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    (tmp_path / "flipped.mcap").write_bytes(data)
    try:
        for _, _, _, decode in messages(tmp_path / "flipped.mcap", []):
            decode()
    except BagError as error:
        assert "\n" not in str(error)
