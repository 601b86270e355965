"""Dashboard and page say what was seen: every figure on them is one that came over the wire."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.policy.pilot import Reason
from spike_ctrl_view import live_page
from spike_ctrl_view.live_view import HISTORY, bar, render, sparkline
from spike_ctrl_view.seen_graph import SeenGraph, SeenStream

STATUS = SimpleNamespace(rung=1, reason="the guide answers", checkpoint_id="mine.safetensors", latched=26, wanted=True)
PILOT = SimpleNamespace(heard=True, mode=0, armed=True, landed=False, battery=0.87, voltage=15.9)
POLICY = SimpleNamespace(
    reason=2, checkpoint_id="mine.safetensors", epoch=3, detail="12 of 50 steps", inference_time=17e-6, state_age=4e-4,
    spike_rate=(0.25, 1.0),
)  # fmt: skip
TRAINING = SimpleNamespace(
    recipe="td3bc", run="runs/short", environment_steps=250_000, steps_per_second=5000.0, updates=77, epoch=4,
    remaining_time=150.0, return_mean=float("nan"), survival=0.5, guide_share=0.2, slope=5.0, critic_loss=0.1,
    actor_loss=0.2,
)  # fmt: skip


def screen(seen: SeenGraph, width: int = 120) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))
    console.print(render(seen))
    return console.export_text()


@pytest.mark.installed
def test_a_flight_shows_who_flies_for_how_long_why_and_what_was_latched():
    text = screen(SeenGraph(now=42.0, nodes=("supervisor",), supervisor=STATUS, rung_since=30.0, autopilot=PILOT))
    assert f"{Rung.GUIDE.name} for 12 s   the guide flies, the policy is judged" in text and "the guide answers" in text
    later = screen(SeenGraph(now=60.0, nodes=("supervisor",), supervisor=STATUS, rung_since=30.0, autopilot=PILOT))
    assert f"{Rung.GUIDE.name} for 30 s" in later and "the guide answers" not in later  # no old reason
    assert "policy mine.safetensors" in text and f"latched fault {Fault.SPIKE_RATE.name}" in text
    assert "autopilot offboard, armed, in the air   battery 87 %, 15.9 V" in text


def test_streams_show_their_rate_and_age_and_those_not_heard_say_so():
    streams = (SeenStream("state", 99.6, 0.0042), SeenStream("policy/status", 1.04, 12.0), SeenStream("command", 0.0, None))
    text = screen(SeenGraph(1.0, ("a",), streams))
    rows = {line.split()[1]: line.split()[2:-1] for line in text.splitlines() if line.startswith("│ ")}
    assert rows["state"] == ["100", "4", "ms"] and rows["policy/status"] == ["1.0", "12", "s"]
    assert rows["command"] == ["-", "-"]


def test_the_policy_shows_reason_times_and_the_spikes_of_each_layer():
    text = screen(SeenGraph(1.0, ("a",), policy=POLICY, actions={"guide/action": (0.5, -0.25, 0, 1)}, layout="rates"))
    assert "WARMING_UP   mine.safetensors, epoch 3" in text and "12 of 50 steps" in text
    assert "inference 0.02 ms, answers after 0.40 ms" in text
    assert f"layer 0 spikes {'█' * 5}{'·' * 15} 0.25" in text and f"layer 1 spikes {'█' * 20} 1.00" in text
    assert "thrust +0.50  roll -0.25  pitch +0.00  yaw +1.00" in text


def test_a_policy_and_a_supervisor_that_have_fallen_silent_are_not_told_to_be_well():
    well = SimpleNamespace(**vars(POLICY) | {"reason": int(Reason.OK), "detail": ""})
    actions = {"policy/action": (0.5, -0.25, 0, 1), "guide/action": (0.25, 0, 0, 0)}
    for age, silent in ((0.5, False), (8.0, True)):
        topics = ("policy/status", "policy/action", "supervisor/status")
        streams = (*(SeenStream(topic, 1.0, age) for topic in topics), SeenStream("guide/action", 100.0, 0.01))
        seen = SeenGraph(9.0, ("a",), streams, supervisor=STATUS, policy=well, actions=actions)
        for text in (screen(seen), "".join(live_page.panels(seen).values())):
            assert ("not heard for 8 s" in text) is silent and ("supervisor not heard for" in text) is silent
            assert ("inference 0.02 ms" in text) is not silent and ("+0.50" in text) is not silent
            assert "+0.25" in text and "mine.safetensors, epoch 3" in text


def test_training_shows_its_share_of_the_whole_and_leaves_out_what_is_not_known():
    text = screen(SeenGraph(1.0, ("a",), training=TRAINING))
    assert "25 %   2:30 left   runs/short" in text  # 250 000 of 250 000 + 150 s x 5000
    assert "steps 0.25M   steps/s 5k   updates 77   checkpoint 4" in text and "return -   survival 0.50" in text


def test_events_come_with_their_time_and_an_empty_graph_is_told():
    assert "12.3 s warning POLICY_SILENT" in screen(SeenGraph(13.0, ("a",), events=((12.3, "warning", "POLICY_SILENT"),)))
    assert "nothing is heard" in screen(SeenGraph(3.0))


@pytest.mark.parametrize("width", (40, 80, 200))
def test_no_line_is_wider_than_the_terminal(width):
    known = {"supervisor": STATUS, "autopilot": PILOT, "policy": POLICY, "training": TRAINING, "error": (0.1,) * 99}
    seen = SeenGraph(1.0, ("simulator", "learner"), (SeenStream("state", 1.0, 0.1),), vehicles=64, **known)
    assert max(map(len, screen(seen, width).splitlines())) <= width


def test_bars_and_lines_are_cut_at_their_ends():
    assert bar(2.0, 4) == "████" and bar(-1.0, 4) == "····" and bar(float("nan"), 2) == "··"
    assert sparkline([0.0, 0.5, 1.0, 7.0, float("nan")], 1.0) == "▁▄██x"
    assert len(sparkline([0.1] * 500, 1.0)) == HISTORY


def test_after_the_landing_nothing_is_red_because_it_has_stopped():
    def drawn(pilot, rung):
        console = Console(width=80, record=True, file=open("/dev/null", "w"), force_terminal=True, color_system="standard")
        supervisor = SimpleNamespace(rung=rung, reason="landed", checkpoint_id="m", latched=0, wanted=False)
        console.print(render(SeenGraph(60.0, ("a",), (SeenStream("state", 100.0, 8.0),), supervisor, 59.0, pilot)))
        return console.export_text(styles=True)

    landed = SimpleNamespace(heard=True, mode=1, armed=False, landed=True, battery=0.87, voltage=15.9)
    red = "\x1b[31m8000 ms"
    assert red in drawn(PILOT, Rung.SNN) and red not in drawn(landed, Rung.SILENT)


@pytest.mark.parametrize("rung", (Rung.GUIDE, Rung.LAND, Rung.SILENT))
def test_the_pass_line_is_for_what_the_policy_flies(rung):
    def drawn(now):
        console = Console(width=80, record=True, file=open("/dev/null", "w"), force_terminal=True, color_system="standard")
        supervisor = SimpleNamespace(rung=now, reason="", checkpoint_id="m", latched=0, wanted=True)
        console.print(render(SeenGraph(60.0, ("a",), supervisor=supervisor, error=(2.5,))))
        return console.export_text(styles=True)

    red = "\x1b[31m2.500 m"
    assert red in drawn(Rung.SNN) and red not in drawn(rung) and "2.500 m" in drawn(rung)


def test_a_graph_that_has_ended_says_so_and_nothing_is_red():
    ended = SeenGraph(60.0, (), (SeenStream("state", 0.0, 8.0),), training=TRAINING)
    assert "the graph has ended" in screen(ended) and 'class="bad"' not in live_page.panels(ended)["Topics"]
    assert 'class="bad"' in live_page.panels(SeenGraph(60.0, ("a",), (SeenStream("state", 50.0, 8.0),)))["Topics"]


def test_the_pace_of_the_vehicles_clock_is_told_and_topics_are_filtered():
    streams = (SeenStream("state", 100.0, 0.01), SeenStream("policy/action", 100.0, 0.01))
    seen = SeenGraph(1.0, ("a",), streams, pace=0.5, wanted="policy")
    for text in (screen(seen), "".join(live_page.panels(seen).values())):
        assert "vehicle's clock 0.50 x real time" in text.replace("&#x27;", "'")
        assert "policy/action" in text and "state" not in text


def test_the_page_shows_the_same_as_the_terminal_and_text_from_outside_as_text():
    evil = SimpleNamespace(**vars(STATUS) | {"reason": "<script>alert(1)</script>", "checkpoint_id": "<b>\x1b"})
    seen = SeenGraph(
        1.0, ("a", "<i>"), (SeenStream("state", 100.0, 0.01),), evil, 0.0, PILOT, POLICY, TRAINING, 1, (0.1,),
        {"policy/action": (0.5, -0.25, 0, 1)}, "rates", ((0.5, "error", "<img src=x>"),),
    )  # fmt: skip
    drawn = live_page.panels(seen)
    whole = "".join(drawn.values())
    assert all(drawn.values()) and not any(tag in whole for tag in ("<script", "<b>", "<i>", "<img", "\x1b"))
    assert '<span class="now" style="background: #d9722e">GUIDE</span>' in drawn["Flight"]
    assert "25 %, 2:30 left" in drawn["Training"] and "width: 25.0%" in drawn["Training"]
    assert "<td>+0.50</td><td>-0.25</td>" in drawn["Policy"] and "0.100 m" in drawn["Error"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 255), st.integers(0, 255), st.text(max_size=9), st.text(max_size=9), st.lists(st.floats(), max_size=6))
def test_the_dashboard_draws_any_status(rung, reason, words, layout, numbers):
    status = SimpleNamespace(rung=rung, reason=words, checkpoint_id=words, latched=reason, wanted=reason % 2 > 0)
    policy = SimpleNamespace(
        reason=reason, checkpoint_id=words, epoch=0, detail=words, inference_time=0.0, state_age=0.0, spike_rate=(0.5,)
    )  # fmt: skip
    seen = SeenGraph(
        1.0, (words,), supervisor=status, policy=policy, actions={"policy/action": tuple(numbers)}, layout=layout,
        events=((0.0, words, words),),
    )  # fmt: skip
    with open("/dev/null", "w") as nowhere:
        console = Console(width=100, record=True, file=nowhere)
        console.print(render(seen))
    assert "\x1b" not in console.export_text(styles=False)
