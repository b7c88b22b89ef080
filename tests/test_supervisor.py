"""Every edge of the services' states."""

import itertools

import pytest

from device.messages import NS_PER_S, ServiceState
from device.runtime.services import NEVER, Restarts, Service
from device.runtime.supervisor import STALL_NS, Do, Order, Supervisor

S = NS_PER_S
STARTING, RUNNING, FAILED, RESTING, GONE = ServiceState
RESTARTS = Restarts((0.0, 0.5, 2.0), most=5, window_s=60.0, long_rest_s=30.0, settled_s=10.0)
EYE = Service("eye", 15.0, 1.0, 60.0, 5.0, 2.0, RESTARTS)
BANDS = Service("bands", 0.0, 1.0, 45.0, NEVER, 30.0, RESTARTS)
WRIST = Service("left_wrist", 100.0, 0.5, NEVER, NEVER, NEVER, None)
VOICE = Service("voice", 0.0, NEVER, 20.0, NEVER, NEVER, RESTARTS)
CORE = Service("core", 30.0, 0.5, NEVER, NEVER, NEVER, None)
START, STOP = Do.START, Do.STOP


class Shell:
    """Steps the supervisor ten times a second and does what it is told, as the services' script lets it."""

    def __init__(self, *services: Service) -> None:
        self.supervisor = Supervisor(services)
        self.now_ns = 1000 * S
        self.orders: list[tuple[float, str, Do]] = []
        self.sends: set[str] = set()

    @property
    def now_s(self) -> float:
        return self.now_ns / S - 1000

    def step(self, seconds: float = 0.0) -> list[Order]:
        """Let time go by; returns the orders of the last step."""
        orders: list[Order] = []
        for _ in range(max(round(seconds * 10), 1)):
            if seconds:
                self.now_ns += S // 10
            for name in self.sends:
                self.supervisor.heard(name, self.now_ns, self.now_ns)
            orders = self.supervisor.step(self.now_ns)
            self.orders += [(self.now_s, order.service, order.do) for order in orders]
        return orders

    def fail(self, name: str, reason: str = "broke") -> None:
        """Fails, and is out of the way at once."""
        self.supervisor.failed(name, self.now_ns, reason)
        self.supervisor.stopped(name, self.now_ns)

    def state(self, name: str) -> ServiceState:
        return self.supervisor.state(name)

    def said(self, name: str) -> list[ServiceState]:
        return [change.state for change in self.supervisor.changes() if change.service == name]


def running(service: Service) -> Shell:
    shell = Shell(service)
    shell.step()
    shell.supervisor.opened(service.name, shell.now_ns)
    shell.supervisor.heard(service.name, shell.now_ns, shell.now_ns)
    assert shell.state(service.name) is RUNNING
    return shell


class TestStarting:
    def test_the_first_step_starts_everything_once(self) -> None:
        shell = Shell(EYE, VOICE)
        assert shell.step() == [Order("eye", START), Order("voice", START)]
        assert shell.step(1.0) == []
        assert shell.state("eye") is STARTING

    def test_what_brings_data_runs_with_its_first_data(self) -> None:
        shell = Shell(EYE)
        shell.step()
        shell.supervisor.opened("eye", shell.now_ns)
        assert (shell.state("eye"), shell.supervisor.is_open("eye")) == (STARTING, True)
        shell.supervisor.heard("eye", shell.now_ns, shell.now_ns)
        assert shell.state("eye") is RUNNING

    def test_stale_data_is_no_sign_of_life(self) -> None:
        shell = Shell(EYE)
        shell.step()
        assert not shell.supervisor.heard("eye", shell.now_ns, shell.now_ns - 5 * S)
        assert shell.state("eye") is STARTING

    def test_what_acts_when_asked_runs_once_it_is_open(self) -> None:
        shell = Shell(VOICE)
        shell.step()
        shell.supervisor.opened("voice", shell.now_ns)
        assert shell.state("voice") is RUNNING

    def test_what_takes_too_long_to_open_fails(self) -> None:
        shell = Shell(VOICE)
        shell.step()
        assert shell.step(20.0) == []
        assert shell.step(0.1) == [Order("voice", STOP)]
        assert shell.state("voice") is FAILED
        assert "20 s" in shell.supervisor.reason("voice")

    def test_what_opens_and_brings_nothing_fails_sooner(self) -> None:
        shell = Shell(EYE)
        shell.step(30.0)
        shell.supervisor.opened("eye", shell.now_ns)
        shell.step(5.0)
        assert shell.state("eye") is STARTING
        assert shell.step(0.1) == [Order("eye", STOP)]
        assert "no data within 5 s" in shell.supervisor.reason("eye")

    def test_what_can_not_be_opened_fails_with_its_reason(self) -> None:
        shell = Shell(VOICE)
        shell.step()
        shell.supervisor.failed("voice", shell.now_ns, "no sound card")
        assert shell.step() == [Order("voice", STOP)]
        assert (shell.state("voice"), shell.supervisor.reason("voice")) == (FAILED, "no sound card")

    def test_a_service_that_is_added_later_starts_then(self) -> None:
        shell = Shell(EYE)
        shell.step()
        shell.supervisor.add([VOICE])
        assert shell.step() == [Order("voice", START)]


class TestRunning:
    def test_data_keeps_it_running(self) -> None:
        shell = running(EYE)
        shell.sends = {"eye"}
        shell.step(60.0)
        assert shell.state("eye") is RUNNING

    def test_silence_makes_it_fail(self) -> None:
        shell = running(EYE)
        assert shell.step(2.0) == []
        assert shell.step(0.1) == [Order("eye", STOP)]
        assert "sent nothing for 2.1 s" in shell.supervisor.reason("eye")

    def test_nothing_but_stale_data_makes_it_fail(self) -> None:
        shell = running(EYE)
        first_ns = shell.now_ns
        for _ in range(21):
            shell.supervisor.heard("eye", shell.now_ns, first_ns)
            shell.step(0.1)
        assert shell.state("eye") is FAILED
        assert "stale" in shell.supervisor.reason("eye")

    def test_bands_that_never_sent_anything_are_only_switched_off(self) -> None:
        shell = Shell(BANDS)
        shell.step()
        shell.supervisor.opened("bands", shell.now_ns)
        shell.step(3600.0)
        assert shell.state("bands") is RUNNING

    def test_a_core_that_was_held_up_does_not_blame_the_others(self) -> None:
        shell = running(EYE)
        shell.now_ns += 10 * S
        assert shell.step() == []
        assert shell.state("eye") is RUNNING
        assert shell.step(2.1) == [Order("eye", STOP)]

    def test_a_slow_start_is_forgiven_what_the_core_was_held_up(self) -> None:
        shell = Shell(VOICE)
        shell.step()
        shell.now_ns += 25 * S
        assert shell.step() == []
        assert shell.state("voice") is STARTING

    def test_steps_just_below_a_stall_are_not_forgiven(self) -> None:
        shell = running(EYE)
        for _ in range(5):
            shell.now_ns += STALL_NS
            shell.step()
        assert shell.state("eye") is FAILED


class TestAskedForLess:
    def test_what_is_asked_for_nothing_may_be_silent(self) -> None:
        shell = running(EYE)
        shell.supervisor.expect("eye", 0.0, shell.now_ns)
        shell.step(60.0)
        assert shell.state("eye") is RUNNING
        shell.supervisor.expect("eye", 15.0, shell.now_ns)
        shell.step(2.0)
        assert shell.state("eye") is RUNNING
        assert shell.step(0.1) == [Order("eye", STOP)]

    def test_what_opens_while_nothing_is_asked_for_is_not_blamed_for_bringing_nothing(self) -> None:
        shell = Shell(EYE)
        shell.step()
        shell.supervisor.expect("eye", 0.0, shell.now_ns)
        shell.supervisor.opened("eye", shell.now_ns)
        shell.step(60.0)
        assert shell.state("eye") is STARTING

    def test_at_a_low_rate_some_periods_may_pass(self) -> None:
        shell = running(EYE)
        shell.supervisor.expect("eye", 1.0, shell.now_ns)
        shell.step(4.0)
        assert shell.state("eye") is RUNNING
        assert shell.step(0.1) == [Order("eye", STOP)]


class TestFailing:
    def test_it_stays_failed_until_it_is_out_of_the_way(self) -> None:
        shell = running(EYE)
        shell.supervisor.failed("eye", shell.now_ns, "died")
        assert shell.step() == [Order("eye", STOP)]
        assert shell.step(5.0) == []
        assert shell.state("eye") is FAILED
        shell.supervisor.stopped("eye", shell.now_ns)
        assert shell.state("eye") is RESTING

    def test_said_twice_it_counts_once(self) -> None:
        shell = running(EYE)
        shell.supervisor.failed("eye", shell.now_ns, "died")
        shell.supervisor.failed("eye", shell.now_ns, "no pipe")
        assert shell.step() == [Order("eye", STOP)]
        assert shell.supervisor.report(shell.now_ns)["eye"]["failures"] == 1
        assert shell.supervisor.reason("eye") == "died"

    @pytest.mark.parametrize("word", ["opened", "stopped"])
    def test_words_that_come_too_late_change_nothing(self, word: str) -> None:
        shell = running(VOICE)
        shell.fail("voice")
        getattr(shell.supervisor, word)("voice", shell.now_ns)
        assert shell.state("voice") is RESTING

    def test_data_that_come_while_it_rests_change_nothing(self) -> None:
        shell = running(EYE)
        shell.fail("eye")
        shell.supervisor.heard("eye", shell.now_ns, shell.now_ns + 1)
        assert shell.state("eye") is RESTING


class TestResting:
    def test_the_first_rest_is_none(self) -> None:
        shell = running(EYE)
        shell.fail("eye")
        assert Order("eye", START) in shell.step()
        assert shell.state("eye") is STARTING

    def test_rests_grow_with_each_failure_and_then_stay(self) -> None:
        shell = Shell(VOICE)
        for _ in range(5):
            shell.step(0.1)
            while shell.state("voice") is not STARTING:
                shell.step(0.1)
            shell.fail("voice")
        starts = [at for at, _, do in shell.orders if do is START]
        assert [round(later - earlier, 1) for earlier, later in itertools.pairwise(starts)] == [0.1, 0.5, 2.0, 2.0]

    def test_failures_that_are_long_ago_are_forgotten(self) -> None:
        shell = Shell(VOICE)
        shell.step()
        shell.fail("voice")
        assert shell.supervisor.rest_s("voice") == 0.0
        shell.step(0.1)
        shell.fail("voice")
        assert shell.supervisor.rest_s("voice") == 0.5
        shell.step(19.0)
        shell.supervisor.opened("voice", shell.now_ns)
        shell.step(60.0)
        shell.fail("voice")
        assert shell.supervisor.rest_s("voice") == 0.0


class TestGone:
    @staticmethod
    def exhausted() -> Shell:
        shell = Shell(VOICE)
        for _ in range(6):
            shell.step(0.1)
            while shell.state("voice") is not STARTING:
                shell.step(0.1)
            shell.fail("voice", "no sound card")
        assert shell.state("voice") is GONE
        return shell

    def test_too_many_failures_make_it_rest_for_long(self) -> None:
        shell = self.exhausted()
        began_s = shell.now_s
        while shell.state("voice") is GONE:
            shell.step(0.1)
        assert shell.now_s - began_s == pytest.approx(30.0, abs=0.2)

    def test_it_is_tried_for_ever_and_said_once(self) -> None:
        shell = self.exhausted()
        assert shell.said("voice")[-1] is GONE
        before = len(shell.orders)
        for _ in range(10):
            while shell.state("voice") is not STARTING:
                shell.step(0.1)
            shell.fail("voice", "still none")
        assert sum(do is START for _, _, do in shell.orders[before:]) == 10
        assert shell.said("voice") == []
        assert shell.supervisor.report(shell.now_ns)["voice"]["state"] == "gone"

    def test_it_is_back_when_it_runs(self) -> None:
        shell = self.exhausted()
        shell.said("voice")
        shell.step(30.1)
        shell.supervisor.opened("voice", shell.now_ns)
        assert shell.said("voice") == [RUNNING]

    def test_a_short_run_does_not_give_it_short_rests_again_and_a_long_one_does(self) -> None:
        shell = self.exhausted()
        shell.step(30.1)
        shell.supervisor.opened("voice", shell.now_ns)
        shell.step(5.0)
        shell.fail("voice")
        assert shell.state("voice") is GONE
        shell.step(30.1)
        shell.supervisor.opened("voice", shell.now_ns)
        shell.step(10.0)
        shell.fail("voice")
        assert (shell.state("voice"), shell.supervisor.rest_s("voice")) == (RESTING, 0.0)


class TestWithoutRestarts:
    def test_a_band_runs_while_its_data_is_fresh_and_nobody_is_told_to_restart_it(self) -> None:
        shell = Shell(WRIST)
        shell.step(5.0)
        assert shell.said("left_wrist") == []
        shell.sends = {"left_wrist"}
        shell.step(1.0)
        shell.sends = set()
        shell.step(1.0)
        assert shell.said("left_wrist") == [RUNNING, GONE]
        shell.sends = {"left_wrist"}
        shell.step(0.1)
        assert shell.said("left_wrist") == [RUNNING]
        assert shell.orders == []

    def test_a_band_that_was_never_there_is_not_gone(self) -> None:
        shell = Shell(WRIST)
        shell.step(100.0)
        assert shell.state("left_wrist") is STARTING


def test_changes_are_told_in_order_once_with_their_reason() -> None:
    shell = running(EYE)
    assert shell.said("eye") == [STARTING, RUNNING]
    shell.fail("eye", "died")
    changes = shell.supervisor.changes()
    assert [(change.state, change.reason) for change in changes] == [(FAILED, "died"), (RESTING, "died")]
    assert shell.supervisor.changes() == []


def test_data_flows_while_a_source_is_fresh_and_the_core_works() -> None:
    shell = Shell(EYE, BANDS, CORE)
    assert not shell.supervisor.flowing(shell.now_ns)
    shell.supervisor.heard("bands", shell.now_ns)
    assert not shell.supervisor.flowing(shell.now_ns)
    shell.supervisor.heard("core", shell.now_ns)
    assert shell.supervisor.flowing(shell.now_ns)
    assert not shell.supervisor.flowing(shell.now_ns + 2 * S)


def test_the_status_is_one_line_of_what_runs_and_what_does_not() -> None:
    shell = Shell(EYE, VOICE)
    shell.step()
    shell.supervisor.heard("eye", shell.now_ns, shell.now_ns)
    shell.fail("voice")
    assert shell.supervisor.status() == "running: eye; voice resting"


def test_a_service_that_is_not_looked_after_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="radio"):
        Supervisor([EYE]).failed("radio", 0, "")
