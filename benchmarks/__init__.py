"""Measurements, each printed as it was obtained on this machine: ``make bench``."""
