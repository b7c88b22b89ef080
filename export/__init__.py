"""Offline: data, model, training, quantising and the bundle that the device runs."""
