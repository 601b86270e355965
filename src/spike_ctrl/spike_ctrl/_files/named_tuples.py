"""Named tuples of many fields, whose `_replace` is quick: a pure state machine makes a new state in every step."""

from typing import Any, TypeVar

Record = TypeVar("Record", bound=type[Any])


def quickly_replaced(record: Record) -> Record:
    """The named tuple, whose `_replace` does the same in less than half of the time. Raises ValueError as before.

    The standard library's looks up each field in the changes, this one puts each change into its place.
    """
    places, new = {name: place for place, name in enumerate(record._fields)}, tuple.__new__

    def _replace(self: Any, /, **changes: Any) -> Any:
        values = [*self]
        try:
            for name, value in changes.items():
                values[places[name]] = value
        except KeyError:
            raise ValueError(f"{record.__name__}: found {', '.join(changes)}, wanted of {', '.join(places)}") from None
        return new(record, values)

    record._replace = _replace
    return record
