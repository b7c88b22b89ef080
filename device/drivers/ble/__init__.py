"""Bands over Bluetooth: who may connect, the life of a link, and the one owner of the adapter."""
