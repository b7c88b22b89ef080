"""Drivers: what Spotter touches the world with. One base class each, one file per real device."""
