"""The end of a training attempt that ran out of memory: another one with less memory, or a failure with figures."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from shared import model_types
from shared.datasets import REGISTRY, DatasetShape
from shared.db.tables import TrainingJob
from shared.errors import OutOfMemory, SpecError
from shared.failpoints import failpoint
from shared.job_status import JobStatus
from shared.model_types import ModelType
from shared.services import admission, datasets, job_history, job_queue, job_warnings
from shared.services.job_queue import FencedSession
from shared.services.job_warnings import JobWarning
from shared.settings import Settings

PARTS = 2  # of each batch, in the attempt after one that ran out of memory
SMALLER_BATCHES = "smaller_batches"  # event and warning


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """What an attempt needed and had, in bytes by the memory estimate of the model type.

    batch_size: of the job. needed_bytes: with as much of a batch at once as the attempt computed. needed_with_parts: in
    the next attempt; None where there is none. fitting_batch_size: the largest one that fits; None where none does.
    """

    batch_size: int
    needed_bytes: int
    available_bytes: int
    needed_with_parts: int | None
    fitting_batch_size: int | None

    @property
    def hint(self) -> str:
        """The figures, and what to change."""
        needed, available = _gib(self.needed_bytes), _gib(self.available_bytes)
        figures = f"By the estimate the run needs {needed}, and {available} were available."
        if self.needed_bytes <= self.available_bytes:
            figures += " Other processes on the machine may have used the rest."
        if self.fitting_batch_size is None:
            return f"{figures} No smaller batch_size fits: use a smaller model, or a worker with more memory."
        return f"{figures} Use a batch_size of at most {self.fitting_batch_size:,}, or a worker with more memory."


def finish_out_of_memory(fenced: FencedSession, failure: OutOfMemory, settings: Settings) -> JobStatus:
    """End a training attempt that ran out of memory. Returns the new status.

    The job is queued again at once with each batch in two parts, where it had whole batches and they can be split. The
    attempt does not count: there is one such attempt at most, in addition to `max_attempts`. Otherwise the job fails
    with the batch size that would fit. A requested cancel takes effect first; so does a pause, and the resumed job has
    two parts.
    """
    if fenced.status is JobStatus.CANCELLING:
        return job_queue.finish_cancelled(fenced)
    job = fenced.session.get_one(TrainingJob, fenced.lease.job_id)
    shortage = _shortage(fenced, job, failure, settings)
    if shortage is None:
        return job_queue.fail(fenced, failure)
    if shortage.needed_with_parts is None:
        told = OutOfMemory(failure.detail, shortage.hint)
        return job_queue.fail(fenced, told, asdict(shortage))
    return _split(fenced, failure, shortage, shortage.needed_with_parts)


def _split(fenced: FencedSession, failure: OutOfMemory, shortage: Shortage, needed: int) -> JobStatus:
    lease = fenced.lease
    batch = f"each batch of {shortage.batch_size:,} in {PARTS} parts"
    job_queue.renew_lease(fenced.session, lease, visible=True, batch_parts=PARTS)
    warning = JobWarning(
        code=SMALLER_BATCHES,
        message=f"Memory ran out in attempt {lease.attempt}; the run computes {batch}, and its last digits differ.",
        hint=f"For whole batches use a worker with more memory: {_gib(shortage.needed_bytes)} by the estimate.",
    )
    job_warnings.add(fenced.session, lease.job_id, [warning])
    failpoint("memory.split")
    message = (
        f"{failure.detail} The next attempt computes {batch} and adds their gradients: by the estimate it needs"
        f" {_gib(needed)} instead of {_gib(shortage.needed_bytes)}."
    )
    data: dict[str, Any] = {"error": failure.as_dict(), "batch_parts": PARTS, **asdict(shortage)}
    if fenced.status is JobStatus.PAUSING:
        job_history.add(
            fenced.session, lease.job_id, event=SMALLER_BATCHES, message=message, attempt=lease.attempt, data=data
        )
        return job_queue.finish_paused(fenced, failure)
    return job_queue.queue_again(fenced, SMALLER_BATCHES, message, data)


def _shortage(fenced: FencedSession, job: TrainingJob, failure: OutOfMemory, settings: Settings) -> Shortage | None:
    """None for a job whose hyperparameters this version does not read."""
    try:
        contract = model_types.get(job.model_type)
        hyperparameters = contract.hyperparameters.model_validate(job.spec["hyperparameters"])
    except (SpecError, ValidationError):
        return None
    shape = _shape(fenced, job, contract)
    available = failure.available_bytes
    if available is None:
        available = admission.memory_limit(settings)

    def needed(examples: int) -> int:
        return contract.training_bytes(hyperparameters.model_copy(update={"batch_size": examples}), shape)

    batch = hyperparameters.batch_size
    at_once = -(-batch // job.batch_parts)
    is_split = job.batch_parts == 1 and contract.batch_can_be_split(hyperparameters)
    # An attempt that fits by the estimate had less than the machine has: half of it is a figure on the safe side.
    room = available if needed(at_once) > available else needed(at_once) // 2
    return Shortage(
        batch_size=batch,
        needed_bytes=needed(at_once),
        available_bytes=available,
        needed_with_parts=needed(-(-batch // PARTS)) if is_split else None,
        fitting_batch_size=_largest(contract, lambda examples: needed(examples) <= room, below=at_once),
    )


def _shape(fenced: FencedSession, job: TrainingJob, contract: ModelType) -> DatasetShape:
    name = job.spec["dataset"]
    if name in REGISTRY:
        return REGISTRY[name].shape
    upload = datasets.upload_of(fenced.session, job)
    return datasets.shape_of_upload(upload) if upload else DatasetShape(kind=contract.data_kind)


def _largest(contract: ModelType, fits: Callable[[int], bool], *, below: int) -> int | None:
    """The largest batch size below a number that fits, if any does. An estimate does not fall with the batch size."""
    least = 1 if contract.has_separable_batches else 2  # statistics of a batch need two examples
    sizes = range(least, below)
    count = bisect_left(sizes, True, key=lambda size: not fits(size))
    return sizes[count - 1] if count else None


def _gib(count: int) -> str:
    return f"{count / 2**30:,.2f} GiB"
