"""Faults on demand: what goes wrong in a gym, from a seed, on the real product with simulated or real parts around it."""
