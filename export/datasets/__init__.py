"""Recordings of people and of the virtual trainee, each set brought into the one format of `clip`."""
