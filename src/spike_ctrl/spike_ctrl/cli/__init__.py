"""The command line `spike-ctrl`: one file per verb."""
