"""The training task. This process never imports torch: the trainer is a child."""

import signal
from collections.abc import Callable
from contextlib import ExitStack

from shared.db.tables import TrainingJob
from worker.attempts import workdir
from worker.attempts.fork_server import ForkServer, is_supported
from worker.attempts.training import environment_now, run_attempt
from worker.context import TRAINER, WorkerContext
from worker.held_device import HeldDevice
from worker.tasks.claim import claim, logged
from worker.tasks.notification_relay import NotificationRelay
from worker.worker_heartbeat import WorkerHeartbeat

_ROOM_S = 1.0  # between two looks for room
_STOPS = (signal.SIGTERM, signal.SIGINT)


def prepare(context: WorkerContext, worker_heartbeat: WorkerHeartbeat, background: ExitStack) -> Callable[[], None]:
    """Remove the folders of killed workers, take a device, start a fork server, and return the task.

    Without a free device this waits for one, so that other workers receive the notifications. A stop signal ends the
    wait; the task then claims nothing.
    """
    workdir.sweep(context)
    held = HeldDevice(context, worker_heartbeat)
    _wait_for(held, context)
    fork_server: ForkServer | None = None
    if context.settings.warm_start and context.trainer == TRAINER and is_supported():
        server = ForkServer(context.settings.runs_path, lambda: environment_now(context, held.device))
        fork_server = background.enter_context(server)

    relay = NotificationRelay(context)

    def run_next() -> None:
        """Claim the first due training job and run it."""
        while (job := claim_with_room(context, held)) is not None:
            with logged(job), worker_heartbeat.working_on(job.id):
                run_attempt(context, job, worker_heartbeat, fork_server, held.device)
            if not relay.is_needed():
                return
        relay.pass_on()

    return run_next


def claim_with_room(context: WorkerContext, held: HeldDevice) -> TrainingJob | None:
    """Claim the first due job. Wait while the device has no room for it, or is lost and no other one is free.

    Meanwhile this worker takes no further notification, so that they reach workers that can claim.
    """
    while not context.stopping.is_set():
        held.wait()
        job = claim(context, held=held)
        if isinstance(job, TrainingJob):
            return job
        if held.device is not None and (not held.is_full or context.stopping.wait(_ROOM_S)):
            return None
    return None


def _wait_for(held: HeldDevice, context: WorkerContext) -> None:
    """Wait for a device, until a stop signal. Raises SystemExit after one, before Celery handles signals."""
    before = {number: signal.signal(number, lambda *_: context.stopping.set()) for number in _STOPS}
    try:
        held.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if context.stopping.is_set():
        raise SystemExit(0)
