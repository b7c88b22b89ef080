"""Bands and their radio without hardware: the real firmware on the real interpreter, and a Bluetooth stack in software."""
