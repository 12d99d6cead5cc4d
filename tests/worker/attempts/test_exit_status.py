"""Classification of the ends of attempts."""

import signal
from pathlib import Path
from typing import Any

import pytest

from shared.errors import JobFailure
from shared.job_status import ErrorCode
from shared.trainer_protocol import Failed, Finished
from worker.attempts.exit_status import OOM_COUNTERS, Stopped, TrainerExit, classify, oom_kills

FINISHED = Finished(epoch=1, step=5, checkpoint="checkpoints/00000005", quality={})


def trainer_exit(status: int, **changes: Any) -> TrainerExit:
    known: dict[str, Any] = {
        "finished": None,
        "failed": None,
        "killed_for": None,
        "was_stop_requested": False,
        "overran_stop": False,
        "ran_out_of_memory": False,
    }
    return TrainerExit(status=status, **{**known, **changes})


def code_of(end: TrainerExit) -> ErrorCode:
    outcome = classify(end)
    assert isinstance(outcome, JobFailure)
    return outcome.error_code


def test_success_needs_a_result_and_a_clean_exit() -> None:
    assert classify(trainer_exit(0, finished=FINISHED)) is FINISHED
    assert code_of(trainer_exit(0)) is ErrorCode.INTERNAL
    assert code_of(trainer_exit(1, finished=FINISHED)) is ErrorCode.INTERNAL


def test_stop_is_a_stop_only_if_it_was_requested() -> None:
    assert isinstance(classify(trainer_exit(3, was_stop_requested=True)), Stopped)
    assert code_of(trainer_exit(3)) is ErrorCode.INTERNAL
    killed = trainer_exit(-signal.SIGKILL, was_stop_requested=True, overran_stop=True)
    assert isinstance(classify(killed), Stopped)


def test_trainer_that_finishes_after_a_stop_request_has_finished() -> None:
    assert classify(trainer_exit(0, finished=FINISHED, was_stop_requested=True)) is FINISHED


def test_failure_reported_by_the_trainer_is_used() -> None:
    failed = Failed(code="out_of_memory", message="Too big.", hint="Smaller.")
    outcome = classify(trainer_exit(4, failed=failed))
    assert isinstance(outcome, JobFailure)
    assert outcome.as_dict() == {"code": "out_of_memory", "message": "Too big.", "hint": "Smaller."}
    assert code_of(trainer_exit(4, failed=Failed(code="nonsense", message="?"))) is ErrorCode.INTERNAL
    assert code_of(trainer_exit(4)) is ErrorCode.INTERNAL


def test_out_of_memory_kill_is_not_retried() -> None:
    assert code_of(trainer_exit(-signal.SIGKILL, ran_out_of_memory=True)) is ErrorCode.OUT_OF_MEMORY
    assert code_of(trainer_exit(-signal.SIGKILL)) is ErrorCode.WORKER_LOST
    assert code_of(trainer_exit(-signal.SIGSEGV, ran_out_of_memory=True)) is ErrorCode.INTERNAL


def test_supervisor_s_reason_for_a_kill_takes_precedence() -> None:
    timeout = JobFailure(ErrorCode.TIMEOUT, "Too long.")
    assert classify(trainer_exit(-signal.SIGKILL, killed_for=timeout, ran_out_of_memory=True)) is timeout


@pytest.mark.parametrize("status", [1, 2, 137, -signal.SIGSEGV, -signal.SIGABRT])
def test_other_exits_are_crashes_with_the_status(status: int) -> None:
    outcome = classify(trainer_exit(status))
    assert isinstance(outcome, JobFailure)
    assert str(abs(status)) in outcome.detail


def test_out_of_memory_kills_are_summed_over_the_counter_files_that_exist(tmp_path: Path) -> None:
    container, machine = tmp_path / "memory.events", tmp_path / "vmstat"
    container.write_text("low 4\nmax 17\noom 5\noom_kill 3\noom_group_kill 9\n")
    machine.write_text("pgfault 1234\noom_kill 40\n")
    counters = [container, machine, tmp_path / "missing"]
    assert oom_kills(counters) == 43

    container.write_text("low 4\nmax 17\noom 6\noom_kill 4\noom_group_kill 9\n")
    assert oom_kills(counters) == 44
    assert oom_kills([tmp_path / "missing"]) == 0


def test_counters_of_the_running_kernel_are_read() -> None:
    vmstat = Path("/proc/vmstat")
    assert vmstat in OOM_COUNTERS
    if vmstat.exists():
        assert [line.split()[1].isdigit() for line in vmstat.read_text().splitlines() if line.startswith("oom_kill ")]
