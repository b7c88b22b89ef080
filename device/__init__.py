"""Spotter: a coach for physical training that runs on a device."""

__version__ = "0.1.0"
