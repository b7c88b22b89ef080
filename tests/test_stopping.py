"""Ctrl-C and SIGTERM: between two steps, and during the saving."""

import os
import signal
from collections.abc import Iterator

import pytest

from device.stopping import Terminated, between_steps, terminate


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, terminate)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_waits_for_the_end_of_the_step(number: signal.Signals, raised: type[BaseException]) -> None:
    with between_steps() as check:
        check()
        os.kill(os.getpid(), number)
        finished = True
        with pytest.raises(raised) as stopped:
            check()
    assert finished
    assert isinstance(stopped.value, Terminated) is (number == signal.SIGTERM)


def test_a_second_signal_ends_a_step_that_hangs() -> None:
    with between_steps():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Terminated):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_second_sigterm_does_not_cut_the_saving_short() -> None:
    with between_steps() as check:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Terminated):
            check()
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_second_sigterm_during_any_other_command_does_not_either() -> None:
    with pytest.raises(Terminated):
        os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)


def test_afterwards_the_signals_are_as_they_were() -> None:
    interrupt = signal.getsignal(signal.SIGINT)
    with between_steps():
        assert signal.getsignal(signal.SIGTERM) is not terminate
    assert signal.getsignal(signal.SIGTERM) is terminate
    assert signal.getsignal(signal.SIGINT) is interrupt
