"""Certified races are kept: what was flown is not flown again, and a line that was cut off costs that race alone."""

from types import SimpleNamespace

import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.certification.flight_outcome import FlightOutcome
from spike_ctrl_racing.race_campaign import FLIGHTS, RaceCampaign
from spike_ctrl_racing.race_certificate import CertifiedRace


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
    flown = {seed: whole.faulty(seed) for seed in (3, 4)}
    with (tmp_path / FLIGHTS).open("a") as file:
        file.write('{"seed": 5, "ala')
    again = RaceCampaign(tmp_path, Certificate(), "sha")
    assert {seed: again.faulty(seed) for seed in (3, 4)} == flown
    assert again.certificate.flown == []
    again.faulty(5)
    assert sorted(RaceCampaign(tmp_path, Certificate(), "sha").kept) == [3, 4, 5]


def test_the_folder_of_another_model_is_refused(tmp_path):
    RaceCampaign(tmp_path, Certificate(), "sha")
    with pytest.raises(UsageError, match="model_sha256: found that of other flights"):
        RaceCampaign(tmp_path, Certificate(), "another")
