"""The board that this firmware runs on."""

import sys

if sys.platform == "rp2":
    from boards import picow as pins
else:
    from boards import esp32s3 as pins

__all__ = ["pins"]
