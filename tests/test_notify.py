"""What systemd is told, over a real datagram socket."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.messages import NS_PER_S
from device.runtime.notify import Notifier, Pulse, from_environment

S = NS_PER_S


class Listener:
    """systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@spotter-test-{os.getpid()}"


@pytest.fixture
def systemd(address: str) -> Iterator[Listener]:
    listener = Listener(address)
    yield listener
    listener.socket.close()


def test_every_message_arrives_as_systemd_reads_it(systemd: Listener, address: str) -> None:
    notifier = from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"})
    notifier.extend(10.0)
    notifier.ready()
    notifier.status("running: eye")
    notifier.alive()
    notifier.stopping()
    notifier.close()
    assert systemd.heard() == ["EXTEND_TIMEOUT_USEC=10000000", "READY=1", "STATUS=running: eye", "WATCHDOG=1", "STOPPING=1"]


def test_the_same_status_is_sent_once(systemd: Listener, address: str) -> None:
    notifier = Notifier(address)
    for text in ("a", "a", "b"):
        notifier.status(text)
    assert systemd.heard() == ["STATUS=a", "STATUS=b"]
    notifier.close()


def test_without_systemd_nothing_is_sent_or_said(caplog: pytest.LogCaptureFixture) -> None:
    notifier = from_environment({})
    notifier.ready()
    notifier.alive()
    assert notifier.watchdog_ns == 0
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"WATCHDOG_USEC": "1000000"}, "NOTIFY_SOCKET is not"),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"}, "'soon'"),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "-1"}, "'-1'"),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "0"}, "'0'"),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "\u0663"}, "WATCHDOG_USEC"),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "9" * 40}, "WATCHDOG_USEC"),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, "another process"),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "x"}, "another process"),
        ({"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": ""}, "neither a path"),
        ({"NOTIFY_SOCKET": "@"}, "neither a path"),
        ({"NOTIFY_SOCKET": "/" + "x" * 200}, "neither a path"),
    ],
)
def test_an_environment_that_is_half_set_is_left_out_with_one_line(
    environment: dict[str, str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        notifier = from_environment(environment, pid=4711)
    assert notifier.watchdog_ns == 0
    assert len(caplog.records) == 1
    assert said in caplog.text


def test_a_watchdog_of_this_process_is_fed(address: str) -> None:
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "4711"}
    assert from_environment(environment, pid=4711).watchdog_ns == 2 * S


def test_a_socket_that_nobody_listens_to_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier(str(tmp_path / "nobody"), 10 * S)
    with caplog.at_level(logging.WARNING):
        notifier.ready()
        notifier.alive()
        notifier.status("x")
    assert len(caplog.records) == 1
    assert notifier.watchdog_ns == 0


def test_a_socket_that_is_full_costs_a_message_and_not_the_coach(systemd: Listener, address: str) -> None:
    notifier = Notifier(address, 10 * S)
    for _ in range(10_000):
        notifier.alive()
    assert 0 < len(systemd.heard()) < 10_000
    notifier.alive()
    assert systemd.heard() == ["WATCHDOG=1"]
    notifier.close()


class Told(Notifier):
    """Notes what would be sent."""

    def __init__(self, watchdog_s: float) -> None:
        super().__init__("/run/x", round(watchdog_s * S))
        self.sent: list[str] = []

    def _send(self, message: str) -> None:
        self.sent.append(message)


def test_it_is_ready_with_the_first_data_and_not_before() -> None:
    told = Told(10.0)
    pulse = Pulse(told)
    for k in range(50):
        pulse.step(k * S, flowing=False)
    assert told.sent == []
    assert not pulse.armed
    pulse.step(50 * S, flowing=True)
    assert told.sent == ["READY=1", "WATCHDOG=1"]
    assert pulse.armed


def test_the_watchdog_is_fed_at_half_its_time_and_only_while_data_flows() -> None:
    told = Told(10.0)
    pulse = Pulse(told)
    for k in range(300):
        pulse.step(k * S // 10, flowing=k < 200)
    assert told.sent == ["READY=1", *["WATCHDOG=1"] * 4]


def test_without_a_watchdog_it_is_still_ready() -> None:
    told = Told(0.0)
    pulse = Pulse(told)
    for k in range(100):
        pulse.step(k * S, flowing=True)
    assert told.sent == ["READY=1"]
