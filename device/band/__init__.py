"""Code that runs on both ends of the radio: CPython on the appliance, MicroPython on the band."""
