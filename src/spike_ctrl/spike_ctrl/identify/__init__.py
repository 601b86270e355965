"""Identifies the parameters of an airframe: those with which the simulation moves as the recorded vehicle did."""


class IdentifyError(ValueError):
    """Nothing can be identified from a flight. The message is one line that says what is missing."""
