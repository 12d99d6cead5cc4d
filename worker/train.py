"""The trainer program: `python -m worker.train SPEC.json RUN_DIR [--supervised]`.

Trains one model from a JSON specification into a folder, with no database and no Redis. Run again on the same folder,
it continues from the newest checkpoint. On a terminal it writes plain lines; on a pipe it writes only JSON objects to
standard output, one a line (shared/trainer_protocol.py).

Exit status: 0 finished, 2 the specification is invalid, 3 stopped with a checkpoint written, 4 failed, 130 interrupted
twice, 5 the supervisor has ended.
"""

import argparse
import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn, TextIO

from pydantic import ValidationError

from shared import trainer_protocol
from shared.errors import SetupError, SpecError
from shared.job_status import ErrorCode
from shared.settings import Settings
from shared.trainer_protocol import EXIT_FAILED, EXIT_FINISHED, EXIT_STOPPED
from worker import openmp
from worker.trainer import spec as specs
from worker.trainer.report import Display, JsonLines, Reporter, TextLines
from worker.trainer.spec import TrainerSpec
from worker.trainer.stop_signal import StopSignal

EXIT_USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    """Run the program. Returns the exit status."""
    options = _parser().parse_args(arguments)
    os.environ |= openmp.wait_policy(os.environ, is_alone=False)  # without effect where a supervisor has set one
    control = StopSignal()
    if options.supervised:
        control.follow_supervisor()
    else:
        control.follow_signals()
    protocol = _claim_stdout()
    run_dir: Path = options.run_dir
    try:
        spec = specs.read(options.spec)
        settings = Settings()
        run_dir.mkdir(parents=True, exist_ok=True)
        reporter = Reporter(run_dir, _display(run_dir, protocol, supervised=options.supervised))
    except (SpecError, SetupError, ValidationError, OSError) as error:
        return _refuse(options, error, protocol)
    try:
        return run(spec, run_dir, settings, control, reporter)
    except SpecError as error:
        return _refuse(options, error, protocol)
    except BrokenPipeError:
        os._exit(EXIT_FAILED)  # the reader has closed the pipe, and flushing at exit would print an error
    finally:
        reporter.close()


def run(spec: TrainerSpec, run_dir: Path, settings: Settings, control: StopSignal, reporter: Reporter) -> int:
    """Train, report the end, and return the exit status. Raises SpecError for a specification that cannot run."""
    # Set before torch is imported, and read when CUDA starts: without it cuBLAS may give other last digits each time.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Torch takes seconds to import, and an invalid specification is reported without it.
    from worker.failures import as_failure, is_unexpected  # noqa: PLC0415
    from worker.trainer.memory import AvailableMemory  # noqa: PLC0415
    from worker.trainer.run import train  # noqa: PLC0415

    memory = AvailableMemory()
    try:
        finished = train(spec, run_dir, settings, control, reporter)
    except (SpecError, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001 - every exception is reported as the run's failure
        failure = as_failure(error)
        if is_unexpected(failure):
            traceback.print_exc()
        reporter.emit(
            trainer_protocol.Failed(
                code=failure.error_code,
                message=failure.detail,
                hint=failure.hint,
                available_bytes=memory.measure(error) if failure.error_code is ErrorCode.OUT_OF_MEMORY else None,
            )
        )
        return EXIT_FAILED
    if finished:
        return EXIT_FINISHED
    if sys.stderr.isatty():
        print(f"stopped; the same command continues from {run_dir / 'checkpoints'}", file=sys.stderr)
    return EXIT_STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker.train", description="Train one model into a folder.")
    parser.add_argument("spec", type=Path, metavar="SPEC.json", help="what to train; only `model_type` is required")
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="where checkpoints, samples and events go")
    parser.add_argument(
        "--supervised", action="store_true", help="stop at the line `stop` on standard input, and end when it closes"
    )
    return parser


def _claim_stdout() -> TextIO:
    """Reserve standard output for the protocol; other output of libraries goes to standard error."""
    sys.stdout.flush()
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return protocol


def _display(run_dir: Path, protocol: TextIO, *, supervised: bool) -> Display:
    if supervised or not protocol.isatty():
        return JsonLines(protocol)
    return TextLines(run_dir, protocol)


def _refuse(
    options: argparse.Namespace, error: SpecError | SetupError | ValidationError | OSError, protocol: TextIO
) -> int:
    """Print the error in one line. Under a supervisor also report it as an event."""
    match error:
        case SpecError():
            message = "; ".join(f"{each.pointer or '/'}: {each.detail}" for each in error.errors) or error.detail
        case SetupError():
            message = error.detail
        case ValidationError():
            message = f"MIMEO_{str(error.errors()[0]['loc'][0]).upper()}: {error.errors()[0]['msg']}"
        case _:
            message = f"{error.filename}: {error.strerror}"
    print(f"{options.spec}: {message}" if isinstance(error, SpecError) else message, file=sys.stderr)
    if not options.supervised:
        return EXIT_USAGE
    code = ErrorCode.INTERNAL if isinstance(error, OSError) else ErrorCode.INVALID_REQUEST
    JsonLines(protocol).show(trainer_protocol.Failed(code=code, message=message))
    return EXIT_FAILED


def leave(status: int) -> NoReturn:
    """End at once. Everything is on disk and reported; unloading torch would delay the worker by seconds."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    exit_status = main()
    if "--supervised" in sys.argv:
        leave(exit_status)
    sys.exit(exit_status)
