"""How long the simulator waits for nodes that do not answer, and what it says then."""

from spike_ctrl_sim.lockstep_patience import LONG, PATIENCE, RESEND, START_PATIENCE, Waiting, WaitVerdict, unanswered, waited

POLICY = "policy/action from snn_policy"


def patience(tick, absent, times):
    """What it says after each of so many waits."""
    state, said = Waiting(), []
    for _ in range(times):
        state, verdict = waited(state, tick, absent)
        said.append(verdict)
    return state, said


def test_a_state_that_all_have_answered_is_left_alone():
    assert unanswered(7, 2, [], asked=0.0, sent=0.0, now=100.0) == (False, None)


def test_a_state_without_an_answer_is_sent_again_each_second():
    assert unanswered(7, 2, [POLICY], asked=0.0, sent=0.0, now=RESEND) == (False, None)
    assert unanswered(7, 2, [POLICY], asked=0.0, sent=0.0, now=RESEND + 0.1) == (True, None)
    assert unanswered(7, 2, [POLICY], asked=0.0, sent=RESEND + 0.1, now=RESEND + 0.2) == (False, None)


def test_after_a_while_who_is_silent_is_named():
    found = unanswered(7, 2, [POLICY, "guide/action from guide_policy"], asked=0.0, sent=4.9, now=PATIENCE + 0.1)
    words = "tick 7 (epoch 2): no policy/action from snn_policy and no guide/action from guide_policy for 5 s"
    assert found == (False, words)


def test_before_the_first_tick_a_node_that_compiles_is_waited_for():
    whole = int(START_PATIENCE / PATIENCE)
    _, said = patience(0, ["snn_policy", "learner"], whole + 1)
    assert [verdict.info for verdict in said[:2]] == ["tick 0: waiting for snn_policy, learner for 5 s", ""]  # said once
    assert not any(verdict.failure for verdict in said[:whole])
    assert said[whole].failure == "tick 0: snn_policy not connected for 125 s"


def test_in_flight_a_node_that_is_not_there_ends_the_training_at_once():
    assert patience(3, ["guide_policy"], 1)[1][0].failure == "tick 3: guide_policy not connected for 5 s"


def test_a_learner_that_is_gone_is_told_the_second_time():
    """At the end of a training it goes first, and the launch ends the others."""
    _, said = patience(3, ["learner"], 2)
    assert said == [WaitVerdict(), WaitVerdict(learner_gone=True)]


def test_a_learner_that_learns_is_waited_for_and_warned_about_each_minute():
    _, said = patience(3, [], 2 * LONG)
    assert said[0].info == "tick 3: waiting for the learner's permission for 5 s"
    assert [index + 1 for index, verdict in enumerate(said) if verdict.warning] == [LONG, 2 * LONG]
    assert said[LONG - 1].warning == "tick 3: waiting for the learner's permission for 60 s"


def test_whom_it_waits_for_next_is_said_too():
    state, _ = waited(Waiting(), 0, ["learner"])
    assert waited(state, 0, [])[1].info == "tick 0: waiting for the learner's permission for 10 s"
