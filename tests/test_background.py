import threading

import pytest

from device.runtime.background import Background, Inline, Threads, within


@pytest.mark.parametrize("background", [Inline(), Threads()])
def test_what_a_job_gives_and_raises_is_in_its_future(background: Background) -> None:
    def fail() -> None:
        raise ValueError("no")

    assert background.submit(lambda: 7).result(5) == 7
    with pytest.raises(ValueError, match="no"):
        background.submit(fail).result(5)


def test_simulated_time_waits_for_nobody() -> None:
    here: list[threading.Thread] = []
    Inline().submit(lambda: here.append(threading.current_thread()))
    assert here == [threading.current_thread()]


def test_a_thread_that_hangs_is_left_and_does_not_keep_the_process() -> None:
    release = threading.Event()
    future = Threads().submit(release.wait)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "background"]
    assert thread.daemon
    assert not within(Threads(), release.wait, 0.01)
    release.set()
    assert future.result(5)


def test_within_says_what_was_done_and_raises_what_was_raised() -> None:
    def fail() -> None:
        raise ValueError("no")

    assert within(Inline(), lambda: None, 0.1)
    with pytest.raises(ValueError, match="no"):
        within(Inline(), fail, 0.1)
