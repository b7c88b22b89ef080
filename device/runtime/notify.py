"""Tells systemd how the service is (sd_notify, man 3): ready, its status, that it lives, that it stops.

A datagram to the socket in NOTIFY_SOCKET; the watchdog's time is in WATCHDOG_USEC. Neither is there outside of systemd, and
then nothing is sent.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Notifier:
    """Sends to the socket `address`; nothing where it is empty. `watchdog_ns`: silence that systemd tolerates, 0 for any.

    A socket that can't be reached is reported once and left alone from then on: the coach goes on without systemd.
    """

    def __init__(self, address: str = "", watchdog_ns: int = 0) -> None:
        self.watchdog_ns = watchdog_ns if address else 0
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._status = ""
        self._socket: socket.socket | None = None

    def ready(self) -> None:
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; sent where it changed."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def alive(self) -> None:
        """Feed the watchdog."""
        if self.watchdog_ns:
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """Ask for `seconds` more, from now, for what is being done: starting or stopping."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)
                self._socket.connect(self._address)
            self._socket.send(message.encode())
        except BlockingIOError:
            # systemd is behind; the next one does as well.
            return
        except OSError as error:
            log.warning("systemd can't be told how the service is (NOTIFY_SOCKET: %s).", error)
            self._address = ""
            self.watchdog_ns = 0
            self.close()


def from_environment(environment: Mapping[str, str] = os.environ, pid: int | None = None) -> Notifier:
    """A notifier by NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID; what makes no sense among them is left out and reported.

    `pid`: the process that asks, this one where None; a watchdog of another process is not ours to feed.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if address and (address[0] not in "/@" or len(address) < 2 or len(address.encode()) > 107):
        log.warning("NOTIFY_SOCKET is neither a path nor an abstract socket (%.120r); systemd is not told anything.", address)
        address = ""
    micros = environment.get("WATCHDOG_USEC", "")
    if not micros:
        return Notifier(address)
    if not address:
        log.warning("WATCHDOG_USEC is set but NOTIFY_SOCKET is not; there is no watchdog to feed.")
        return Notifier()
    if not micros.isascii() or not micros.isdigit() or not 0 < int(micros) < 2**63:
        log.warning("WATCHDOG_USEC is no number of microseconds (%.40r); the watchdog is not fed.", micros)
        return Notifier(address)
    owner = environment.get("WATCHDOG_PID", "")
    if owner and owner != str(os.getpid() if pid is None else pid):
        log.warning("WATCHDOG_PID names another process (%.20r); the watchdog is not fed.", owner)
        return Notifier(address)
    return Notifier(address, int(micros) * 1000)


class Pulse:
    """Says READY at the first tick that was worked on with data, and feeds the watchdog from then on, while data flows.

    Nothing flows for longer than the watchdog's time: systemd starts the whole service anew.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._every_ns = notifier.watchdog_ns // 2
        self._fed_ns: int | None = None

    @property
    def armed(self) -> bool:
        return self._fed_ns is not None

    def step(self, now_ns: int, flowing: bool) -> None:
        """`flowing`: data came lately from the camera or a band, and ticks came out of the core."""
        if not flowing:
            return
        if self._fed_ns is None:
            self._notifier.ready()
        elif not self._every_ns or now_ns - self._fed_ns < self._every_ns:
            return
        self._fed_ns = now_ns
        self._notifier.alive()
