"""A recorded flight is answered again bit by bit; what differs, what is missing and what cannot be known is named."""

import hashlib
import json

import numpy as np
import pytest
from recorded import Bag, fly, write_flight

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.cli import main
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import Checkpoint, Contract
from spike_ctrl.policy.compiled_runtime import CompiledPolicy
from spike_ctrl.policy.pilot import Flown, Pilot
from spike_ctrl.recordings import BagError, replay
from spike_ctrl.recordings.reader import read
from spike_ctrl.recordings.recorded_policy import STARTED
from spike_ctrl.recordings.recording import Actions, Embedded, PolicyReports, Recording, States
from spike_ctrl.sim.episode_flags import FIRST
from spike_ctrl.sim.observation import LAYOUT
from spike_ctrl.snn.weight_shapes import weight_shapes

pytestmark = pytest.mark.slow

MODEL = resources.folder("models") / "crazyflie.safetensors"
ROBUST = resources.folder("models") / "crazyflie_robust.safetensors"


@pytest.fixture
def other_model(tmp_path):
    random, contract = np.random.default_rng(0), checkpoint.load(MODEL).manifest.contract
    weights = {n: random.uniform(0.1, 0.9, shape).astype(np.float32) for n, shape in weight_shapes(contract.sizes).items()}
    checkpoint.save(tmp_path / "other.safetensors", weights, contract)
    return tmp_path / "other.safetensors"


def compared(path, policies=None):
    recording = read(path)
    policies = policies or checkpoint.load(MODEL).policy
    return replay.compare(recording, replay.replay(recording, policies), 100.0)


def test_a_bag_tells_the_airframe_and_whether_it_flew_in_real_time(tmp_path):
    fly(tmp_path / "simulated", MODEL, ticks=20)
    assert replay.flown(tmp_path / "simulated") == ("crazyflie", False)
    state, action = np.zeros((20, 13)), np.zeros((19, 4))
    state[:, 6] = 1
    write_flight(tmp_path / "flight", state, action, action, "rates")
    with pytest.raises(BagError, match="no policy/checkpoint in it, wanted one, or a model"):
        replay.flown(tmp_path / "flight")
    assert replay.flown(tmp_path / "flight", "models/sih_quadx.safetensors") == ("sih_quadx", True)


SWAP_TICKS = (100, 180)  # the candidate begins in shadow; it takes over


def swap(path, files, tell=True):
    """A flight of 300 ticks by the first (epoch, file), which a second one replaces. tell: with policy/status."""
    random, bag, pilot = np.random.default_rng(2), Bag(path), Pilot(warm_up=0, judged=True)
    for number, (epoch, file) in enumerate(files):
        data = file.read_bytes()
        about = {"epoch": epoch, "name": str(epoch), "sha256": hashlib.sha256(data).hexdigest()}
        topic = "/policy/checkpoint" if number else "/policy/model"
        bag.write(topic, "Checkpoint", number, **about, data=np.frombuffer(data, np.uint8))
    flown = [Flown(str(epoch), checkpoint.load(file).policy, epoch) for epoch, file in files]
    pilot.take(flown[0])
    for tick in range(300):
        if len(files) > 1 and tick == SWAP_TICKS[0]:
            pilot.warm(flown[1])
        if len(files) > 1 and tick == SWAP_TICKS[1]:
            assert pilot.accept(flown[1].name, flown[1].epoch)
        seen = random.normal(0, 0.5, (1, 18)).astype(np.float32)
        answer = pilot.step(tick, np.array([tick == 0]), seen, lockstep=True)
        flags = np.uint8([1 if tick == 0 else 0])
        bag.write("/state", "VehicleState", tick, tick=tick, vehicles=1, flags=flags, observation=seen)
        about = {"tick": tick, "epoch": pilot.flown.epoch, "checkpoint_id": pilot.flown.name}
        bag.write("/policy/action", "VehicleAction", tick, vehicles=1, layout="motors", action=answer.action, **about)
        if tell and tick % 100 == 0:
            shadow = pilot.candidate
            more = {"candidate_epoch": shadow.epoch, "candidate_id": shadow.name} if shadow else {}
            bag.write("/policy/status", "PolicyStatus", tick, **about, **more, previous_tick=max(tick - 1, 0))
    bag.writer.close()


UNSEEN = (50, 120, 121, 200)  # ticks whose states came together with a newer one
LOST = (70, 150, 151)  # ticks whose answers the recorder did not receive


def in_flight(path, tell=True, without=(), model=MODEL):
    """A flight of 300 ticks in real time that skips the states of UNSEEN. tell: with policy/status. without: states that the
    bag lacks.
    """
    random, bag, pilot = np.random.default_rng(2), Bag(path), Pilot(warm_up=0, skip=2)
    data = model.read_bytes()
    about = {"name": "it", "sha256": hashlib.sha256(data).hexdigest()}
    bag.write("/policy/model", "Checkpoint", 0, **about, data=np.frombuffer(data, np.uint8))
    pilot.take(Flown("it", CompiledPolicy(checkpoint.load(model).weights), 0))
    for tick in range(1, 301):
        seen, flags = random.normal(0, 0.5, (1, 18)).astype(np.float32), np.uint8([tick == 1])
        if tick not in without:
            bag.write("/state", "VehicleState", tick, tick=tick, vehicles=1, flags=flags, observation=seen)
        if tick in UNSEEN:
            continue
        previous = pilot.tick or tick
        answer = pilot.step(tick, flags > 0, seen, lockstep=False, now=tick / 100)
        assert answer.commands
        if tick not in LOST:
            about = {"layout": "motors", "checkpoint_id": "it", "action": answer.action}
            bag.write("/policy/action", "VehicleAction", tick, tick=tick, vehicles=1, **about)
        if tell and (tick - previous > 1 or tick % 100 == 1):
            bag.write("/policy/status", "PolicyStatus", tick, tick=tick, previous_tick=previous)
    bag.writer.close()


def run(capsys, *arguments):
    code = main.main(["replay", *map(str, arguments)])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_the_checkpoint_in_the_bag_answers_again_bit_by_bit(tmp_path, capsys):
    fly(tmp_path / "bag", MODEL)
    code, out, _ = run(capsys, tmp_path / "bag", "--json", tmp_path / "figures.json")
    assert code == 0 and "equal bit by bit: 600 of 600 actions" in out and "1 of 1 as recorded" in out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["known_equal"] == figures["compared"] == 600 and figures["first"] is None


def test_the_same_model_is_known_by_its_hash_and_another_one_too(tmp_path, capsys, other_model):
    fly(tmp_path / "bag", MODEL)
    code, out, _ = run(capsys, tmp_path / "bag", "--model", MODEL)
    assert code == 0 and "the same by the hash" in out
    code, out, _ = run(capsys, tmp_path / "bag", "--model", other_model)
    assert code == 0 and "another one by the hash" in out and "equal bit by bit: 0 of 600" in out and "front-right" in out


def test_the_file_that_a_policy_was_started_with_is_in_the_bag_and_is_named(tmp_path, capsys):
    swap(tmp_path / "bag", [(0, MODEL)])
    code, out, _ = run(capsys, tmp_path / "bag")
    assert code == 0 and "equal bit by bit: 300 of 300 actions" in out
    assert f"1 of 1 as recorded: 0 (sha256 {hashlib.sha256(MODEL.read_bytes()).hexdigest()[:12]})" in out


def test_after_a_hot_swap_the_policy_goes_on_from_its_flight_in_shadow(tmp_path, capsys):
    swap(tmp_path / "bag", [(0, MODEL), (7, ROBUST)])
    code, out, _ = run(capsys, tmp_path / "bag")
    assert code == 0 and "equal bit by bit: 300 of 300 actions with a known spiking state" in out
    assert "2 of 2 as recorded: 0 (sha256" in out and ", 7 (sha256" in out


def test_a_hot_swap_whose_beginning_nobody_told_leaves_the_spiking_state_unknown(tmp_path):
    swap(tmp_path / "bag", [(0, MODEL), (7, ROBUST)], tell=False)
    recording = read(tmp_path / "bag")
    choice, found, _ = replay.judged(recording)
    known = replay.replay(recording, choice.policies).known[:, 0]
    assert found.same and known[: SWAP_TICKS[1]].all() and not known[SWAP_TICKS[1] :].any()


def test_states_that_the_policy_did_not_see_are_withheld_as_its_reports_say(tmp_path, capsys):
    in_flight(tmp_path / "bag")
    code, out, _ = run(capsys, tmp_path / "bag", "--json", tmp_path / "figures.json")
    assert code == 0 and "equal bit by bit: 293 of 293 actions with a known spiking state" in out
    assert "the policy did not step on 4 of the states, as it reports" in out
    assert json.loads((tmp_path / "figures.json").read_text())["unseen"] == 4


def test_in_an_old_bag_the_answers_tell_what_the_policy_did_not_see_and_what_the_recorder_lost(tmp_path, capsys):
    in_flight(tmp_path / "bag", tell=False)
    code, out, _ = run(capsys, tmp_path / "bag")
    assert code == 0 and "equal bit by bit: 293 of 293 actions with a known spiking state" in out
    assert "the policy did not step on 4 of the states, by its answers" in out
    recording = read(tmp_path / "bag")
    found = replay.replay(recording, replay.chosen(recording, step=Checkpoint.compiled).policies)
    assert recording.states.tick[~found.stepped].tolist() == list(UNSEEN)


def test_a_state_that_neither_policy_nor_recorder_saw_leaves_the_spiking_state_known(tmp_path, capsys):
    in_flight(tmp_path / "bag", without=(120, 121))
    code, out, _ = run(capsys, tmp_path / "bag")
    assert code == 0 and "equal bit by bit: 293 of 293 actions with a known spiking state" in out
    in_flight(tmp_path / "other", without=(130,))
    out = run(capsys, tmp_path / "other")[1]
    assert "equal bit by bit: 125 of 125 actions with a known" in out and "167 whose spiking state is unknown" in out


def test_another_model_is_withheld_what_the_first_did_not_see_as_far_as_that_is_told(tmp_path, capsys):
    in_flight(tmp_path / "bag")
    code, out, _ = run(capsys, tmp_path / "bag", "--model", ROBUST)
    assert code == 0 and "another one by the hash" in out and "did not step on 4 of the states, as it reports" in out


def test_an_epoch_of_two_files_is_left_out_with_a_note(tmp_path, capsys):
    swap(tmp_path / "bag", [(0, MODEL), (0, ROBUST)])
    code, out, err = run(capsys, tmp_path / "bag")
    assert code == 2 and "no policy/checkpoint in it, wanted one, or a model" in err
    assert "note: checkpoints: epoch 0 left out: found 0 and another one, 0" in out


def test_without_checkpoints_in_the_bag_the_same_model_is_known_by_its_name(tmp_path, capsys, other_model):
    fly(tmp_path / "bag", MODEL, leave_out=("policy/checkpoint",), name="/aircraft/models/crazyflie.safetensors")
    code, out, _ = run(capsys, tmp_path / "bag", "--model", MODEL)
    assert code == 0 and "the same by its name" in out and "600 of 600" in out
    code, out, _ = run(capsys, tmp_path / "bag", "--model", other_model)
    assert "another one by its name; the bag says /aircraft/models/crazyflie.safetensors" in out


def test_a_flight_of_the_compiled_step_is_answered_bit_by_bit_and_nothing_is_compiled(tmp_path, capsys, monkeypatch):
    fly(tmp_path / "bag", MODEL, vehicles=1, ticks=1000, runtime=CompiledPolicy)
    monkeypatch.delattr(Checkpoint, "compiled")
    code, out, _ = run(capsys, tmp_path / "bag")
    assert code == 0 and "by the step of a flight" in out and "equal bit by bit: 1000 of 1000" in out


def test_a_flight_of_the_compiled_step_of_before_sums_had_one_order_is_known_as_one(tmp_path):
    """Thresholds are the membranes of the first step, so that neurons fire there where a product is fused with a sum."""
    random, shapes = np.random.default_rng(0), weight_shapes((18, 64, 32, 4))
    weights = {name: random.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    weights |= {name: np.full(shape, 0.9, np.float32) for name, shape in shapes.items() if name.endswith(("beta", "theta"))}
    seen = random.normal(0, 1, (20, 1, 18)).astype(np.float32)
    plain = CompiledPolicy(weights)
    _, state = plain.step(seen[0, 0], plain.initial_state())
    weights["layer0.theta"] = np.maximum(state.membrane[:64], np.float32(1e-3))
    craft, flown, actions = airframe.load("crazyflie"), CompiledPolicy(weights, fused=True), []
    before = flown.initial_state(1)
    for one in seen:
        action, before = flown.step(one, before)
        actions.append(action)
    number, flags = np.arange(20), np.zeros((20, 1), np.uint8)
    flags[0] = FIRST
    data = checkpoint.dumps(weights, Contract("crazyflie", craft.hash, LAYOUT, "motors", 100.0, (18, 64, 32, 4)))
    recording = Recording(
        tmp_path, States(number, 0 * number, number, flags, seen),
        Actions(number, 0 * number, number, np.full(20, "m", object), np.stack(actions), "motors"),
        checkpoints={0: Embedded("m", "", data)},
    )  # fmt: skip
    choice, found, _ = replay.judged(recording)
    assert (found.compared, found.equal) == (20, 20)
    spikes = [CompiledPolicy(weights, fused=fused).step(seen[0, 0], plain.initial_state())[1].spike for fused in (0, 1)]
    fuses = not np.array_equal(*spikes)  # some processors have no such instruction
    assert ("before sums had one order" in choice.words) == fuses


def test_an_observation_that_is_not_finite_gets_no_answer_and_leaves_the_spiking_state(tmp_path):
    fly(tmp_path / "bag", MODEL, vehicles=1, ticks=60)
    recording, policy = read(tmp_path / "bag"), checkpoint.load(MODEL).policy
    state, wanted = policy.initial_state(1), []
    for row in range(60):
        if row != 20:
            action, state = policy.step(recording.states.observation[row], state)
            wanted.append(action)
    recording.states.observation[20, 0, 7] = np.nan
    found = replay.replay(recording, policy)
    assert np.isnan(found.action[20]).all() and not found.known[20].any()
    np.testing.assert_array_equal(np.delete(found.action, 20, axis=0), wanted)


def test_one_changed_bit_is_found_with_its_tick_vehicle_and_axis(tmp_path, capsys):
    def alter(tick, action):
        if tick in (57, 80):
            action[1, 2] = np.nextafter(action[1, 2], np.float32(2))
        return action

    fly(tmp_path / "bag", MODEL, alter=alter)
    code, out, _ = run(capsys, tmp_path / "bag")
    assert code == 1 and "598 of 600" in out and "first difference: tick 57, vehicle 1, back-left: recorded" in out
    found = compared(tmp_path / "bag")
    assert (found.first.tick, found.first.vehicle, found.first.axis) == (57, 1, 2) and not found.same


def test_differences_are_told_per_axis_and_over_time(tmp_path):
    def alter(tick, action):
        action[:, 3] += np.float32(0.25) * (100 <= tick < 200)
        return action

    fly(tmp_path / "bag", MODEL, alter=alter)
    found = compared(tmp_path / "bag")
    np.testing.assert_allclose(found.rms, [0, 0, 0, 0.25 / np.sqrt(3)], atol=1e-6)
    np.testing.assert_allclose(found.largest, [0, 0, 0, 0.25], atol=1e-6)
    np.testing.assert_allclose(found.over_time, [[0, 0, 0, 0], [0, 0, 0, 0.25], [0, 0, 0, 0]], atol=1e-6)


def test_the_return_is_the_sum_of_the_rewards_that_the_environment_paid(tmp_path):
    rewards = fly(tmp_path / "bag", MODEL, vehicles=4, ticks=350)
    recording = read(tmp_path / "bag")
    ends = (recording.states.flags & 6) > 0
    paid = []
    for vehicle in range(4):
        begin = 0
        for end in np.flatnonzero(ends[:, vehicle]):
            paid.append(rewards[begin:end, vehicle].sum())
            begin = end + 1
    found = replay.returns(recording, airframe.load("crazyflie").hover)
    assert len(found) >= 12
    np.testing.assert_allclose(sorted(found), sorted(paid), rtol=1e-5)


def test_without_transitions_the_return_is_unknown(tmp_path, capsys):
    fly(tmp_path / "bag", MODEL, leave_out=("transition",))
    assert "return as flown: unknown" in run(capsys, tmp_path / "bag")[1]


def test_a_flight_that_was_joined_late_is_judged_from_the_next_start_of_an_episode(tmp_path):
    fly(tmp_path / "bag", MODEL, start=30, ticks=300)
    recording = read(tmp_path / "bag")
    found = replay.replay(recording, checkpoint.load(MODEL).policy)
    first = np.argmax((recording.states.flags & 1) > 0, axis=0)
    assert (found.known.argmax(axis=0) == first).all() and (first > 0).all()
    result = replay.compare(recording, found, 100.0)
    assert result.same and 0 < result.known < result.compared


def test_a_state_that_the_recorder_missed_makes_what_follows_unknown(tmp_path, capsys):
    fly(tmp_path / "bag", MODEL, skip=(20, 21))
    found = compared(tmp_path / "bag")
    assert found.same and found.known < found.compared == 2 * 298
    code, out, _ = run(capsys, tmp_path / "bag")
    assert code == 0 and "note: state: 2 ticks are missing in 1 gaps" in out


def test_a_tick_at_which_the_policy_says_that_it_begins_anew_is_a_known_start(tmp_path):
    fly(tmp_path / "bag", MODEL, start=30, ticks=60)
    recording = read(tmp_path / "bag")
    assert replay.replay(recording, checkpoint.load(MODEL).policy).known.sum() < 60
    none = np.zeros(1)
    begun = PolicyReports(np.array([30]), np.array([STARTED]), none, none, none[:, None], none - 1, none)
    told = replay.replay(type(recording)(**vars(recording) | {"status": begun}), checkpoint.load(MODEL).policy)
    assert told.known.all()


@pytest.mark.proves("42U")
def test_a_bag_without_actions_names_what_is_missing_and_what_is_there(tmp_path, capsys):
    fly(tmp_path / "bag", MODEL, leave_out=("policy/action", "guide/action"))
    code, _, err = run(capsys, tmp_path / "bag")
    assert code == 2 and err.count("\n") == 1
    assert "no policy/action in it" in err and "usable: 300 ticks of 2 vehicles" in err and "1 checkpoints" in err


def test_a_bag_without_checkpoints_wants_a_model(tmp_path, capsys):
    fly(tmp_path / "bag", MODEL, leave_out=("policy/checkpoint",))
    code, _, err = run(capsys, tmp_path / "bag")
    assert code == 2 and "no policy/checkpoint in it, wanted one, or a model" in err


def test_a_model_of_another_action_layout_is_refused(tmp_path, capsys):
    fly(tmp_path / "bag", MODEL, layout="rates")
    code, _, err = run(capsys, tmp_path / "bag", "--model", MODEL)
    assert code == 2 and f"{MODEL}: action: found 'motors', wanted 'rates' as in {tmp_path / 'bag'}" in err


@pytest.mark.proves("42U")
def test_a_foreign_bag_is_refused_with_its_topics(tmp_path, capsys):
    bag = Bag(tmp_path / "bag")
    bag.writer.add_topic("/chatter", "std_msgs/msg/String")
    text = bag.store.types["std_msgs/msg/String"]("hello")
    bag.writer.write("/chatter", 1, bytes(bag.store.serialize_cdr(text, "std_msgs/msg/String")))
    bag.writer.close()
    code, _, err = run(capsys, tmp_path / "bag")
    assert code == 2 and "found /chatter (std_msgs/msg/String); wanted a topic state" in err


def test_what_is_no_bag_is_refused(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(capsys, tmp_path / "nothing")[::2] == (2, f"error: {tmp_path / 'nothing'}: no such bag\n")
    assert run(capsys, tmp_path / "empty")[0] == 2


@pytest.mark.proves("42U")
def test_a_bag_that_was_cut_is_used_as_far_as_it_goes(tmp_path, capsys):
    fly(tmp_path / "bag", MODEL)
    file = tmp_path / "bag" / "bag_0.mcap"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    code, out, _ = run(capsys, tmp_path / "bag")
    assert code == 0 and "note: not closed: " in out and f"spike-ctrl repair {tmp_path / 'bag'}" in out
    found = compared(tmp_path / "bag")
    assert found.same and 50 < found.compared < 550
    main.main(["repair", str(tmp_path / "bag")])
    assert compared(tmp_path / "bag").compared == found.compared
