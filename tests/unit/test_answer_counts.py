"""What the simulator's diagnostics tell of the answers that it waited for."""

from spike_ctrl_sim.lockstep_patience import AnswerCounts


def test_latencies_are_told_in_milliseconds_and_ticks_since_the_last_time():
    counts = AnswerCounts()
    assert counts.figures(0)["latency_median_ms"] == "nan"  # nobody has answered yet
    counts.latencies.extend([0.001, 0.002, 0.003])
    counts.missed += 2
    found = counts.figures(90)
    assert (found["tick"], found["ticks_per_second"], found["deadlines_missed"]) == (90, 90, 2)
    assert (found["latency_median_ms"], found["latency_p99_ms"]) == ("2.000", "2.980")
    assert counts.figures(190)["ticks_per_second"] == 100
