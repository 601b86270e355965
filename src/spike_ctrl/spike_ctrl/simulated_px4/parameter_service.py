"""MAVLink's parameter protocol as PX4 answers it: read one, list all a few at a time, set one."""

from __future__ import annotations

from spike_ctrl._files.errors import UsageError
from spike_ctrl.px4 import dialect
from spike_ctrl.px4.dialect import messages
from spike_ctrl.simulated_px4.simulated_parameters import NAMES, AutopilotParameters
from spike_ctrl.simulated_px4.telemetry import parameter_message

LISTED_PER_TICK = 2  # so that a list does not fill the socket's buffer


class ParameterService:
    """The requests of all ports for one vehicle's parameters."""

    def __init__(self, parameters: AutopilotParameters):
        self.parameters = parameters
        self._listing: dict[str, int] = {}  # by port, the next one to tell

    def read(self, m: messages.MAVLink_param_request_read_message) -> messages.MAVLink_message | None:
        """The answer to PARAM_REQUEST_READ; None where there is no such parameter."""
        index = m.param_index
        if index < 0:
            index = NAMES.index(m.param_id) if m.param_id in NAMES else -1
        return parameter_message(self.parameters, index) if 0 <= index < len(NAMES) else None

    def begin_list(self, port: str) -> None:
        """Tell all parameters to a port, from the next tick on."""
        self._listing[port] = 0

    def due(self) -> list[tuple[str, messages.MAVLink_message]]:
        """What the lists send in this tick, by port."""
        found = []
        for port, at in self._listing.items():
            self._listing[port] = end = min(at + LISTED_PER_TICK, len(NAMES))
            found += [(port, parameter_message(self.parameters, index)) for index in range(at, end)]
        self._listing = {port: at for port, at in self._listing.items() if at < len(NAMES)}
        return found

    def set(self, m: messages.MAVLink_param_set_message) -> tuple[messages.MAVLink_message | None, str]:
        """The answer to PARAM_SET, None where there is no such parameter; and a complaint, empty where it was set."""
        value, complaint = dialect.parameter_from_wire(m.param_value, m.param_type), ""
        try:
            if type(value) is not type(self.parameters[m.param_id]):
                raise UsageError(f"parameter {m.param_id}: wrong type")
            self.parameters.set(m.param_id, value)
        except (KeyError, UsageError):
            complaint = f"{m.param_id}: unknown or of another type"
        known = m.param_id in NAMES
        return parameter_message(self.parameters, NAMES.index(m.param_id)) if known else None, complaint
