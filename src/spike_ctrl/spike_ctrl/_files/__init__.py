"""Files, settings and errors that every other package may use. Nothing here knows about quadrotors."""
