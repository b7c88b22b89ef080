"""Measurements of single parts over many random trials, for `spotter bench`."""
