"""Certified races are kept: what was flown is not flown again, and a line that was cut off costs that race alone."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.certification.flight_outcome import FlightOutcome
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.policy import checkpoint
from spike_ctrl_racing import race_verb, track
from spike_ctrl_racing.flown_words import RaceWords
from spike_ctrl_racing.race_campaign import FLIGHTS, RaceCampaign
from spike_ctrl_racing.race_certificate import CertifiedRace, RaceCertificate


class Certificate:
    """Stands for flights that take seconds."""

    def __init__(self):
        self.words, self.flown = SimpleNamespace(text="the course"), []

    def faulty(self, seed):
        self.flown.append(seed)
        outcome = FlightOutcome(seed, "frozen", "race", "", "frozen at 3 s", -0.5, 0.2, 0.1, "", "LAND", 12.0)
        return [CertifiedRace(outcome, "fastest", 9.5, -0.5)], seed % 2 == 1


def test_what_was_flown_is_kept_and_what_was_cut_off_is_flown_again(tmp_path):
    whole = RaceCampaign(tmp_path, Certificate(), "sha")
    list(whole.fly((3, 4), 1))
    with (tmp_path / FLIGHTS).open("a") as file:
        file.write('{"seed": 5, "ala')
    again = RaceCampaign(tmp_path, Certificate(), "sha")
    assert again.flown((3, 4)) == whole.flown((3, 4)) and again.flown((3, 4))[1] == [True, False]
    list(again.fly((3, 4, 5), 1))
    assert again.certificate.flown == [5]
    assert sorted(RaceCampaign(tmp_path, Certificate(), "sha").kept) == [3, 4, 5]


def test_several_processes_fly_the_races_of_one(tmp_path):
    folders = [tmp_path / str(workers) for workers in (1, 2)]
    for workers, folder in enumerate(folders, 1):
        list(RaceCampaign(folder, Certificate(), "sha").fly(range(6), workers))
    one, two = (sorted((folder / FLIGHTS).read_text().splitlines()) for folder in folders)
    assert one == two and len(one) == 6


def test_a_certificate_travels_to_other_processes():
    found, words = checkpoint.load(race_verb.find_model("racer_gates")), RaceWords(track.load("hall"), 1)
    whole = RaceCertificate("racer_gates", found.compiled(), found.airframe(), words, Cage((-13, -4, 0), (11, 9, 5)))
    there = pickle.loads(pickle.dumps(whole))
    seen = np.zeros((1, found.policy.inputs), np.float32)
    here, away = (one.who.policy.step(seen, one.who.policy.initial_state(1))[0] for one in (whole, there))
    np.testing.assert_array_equal(here, away)
    assert there.scenario(3) == whole.scenario(3)


def test_the_folder_of_another_model_is_refused(tmp_path):
    RaceCampaign(tmp_path, Certificate(), "sha")
    with pytest.raises(UsageError, match="model_sha256: found sha, wanted another"):
        RaceCampaign(tmp_path, Certificate(), "another")
