"""Bands' clocks and the radio between them and the host, in simulated time: nothing is sent, everything is known."""
