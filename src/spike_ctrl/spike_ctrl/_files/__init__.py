"""Files, settings and errors that every other package may use; nothing here knows a quadrotor."""
