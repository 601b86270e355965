"""Betaflight: its firmware flies what this stack commands. docs/betaflight.md"""
