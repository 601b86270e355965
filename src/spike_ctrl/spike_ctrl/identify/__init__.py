"""An airframe's parameters from recorded flight: what the dynamics must be for the vehicle to move as it did."""


class IdentifyError(ValueError):
    """A flight from which nothing can be identified; one line says what is missing."""
