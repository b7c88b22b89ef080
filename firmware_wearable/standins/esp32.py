"""`esp32` on a host."""

WAKEUP_ANY_HIGH = 1


def wake_on_ext0(pin, level):
    pass
