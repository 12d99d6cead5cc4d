"""The training task. This process never imports torch: the trainer is a child."""

from collections.abc import Callable
from contextlib import ExitStack

from shared.db.tables import TrainingJob
from worker.attempts import workdir
from worker.attempts.fork_server import ForkServer, is_supported
from worker.attempts.training import environment_now, run_attempt
from worker.context import TRAINER, WorkerContext
from worker.tasks.claim import claim, logged
from worker.tasks.notification_relay import NotificationRelay
from worker.worker_heartbeat import WorkerHeartbeat


def prepare(context: WorkerContext, worker_heartbeat: WorkerHeartbeat, background: ExitStack) -> Callable[[], None]:
    """Remove the folders of killed workers, start a fork server, and return the task."""
    workdir.sweep(context)
    fork_server: ForkServer | None = None
    if context.settings.warm_start and context.trainer == TRAINER and is_supported():
        server = ForkServer(context.settings.runs_path, lambda: environment_now(context))
        fork_server = background.enter_context(server)

    relay = NotificationRelay(context)

    def run_next() -> None:
        """Claim the first due training job and run it."""
        while isinstance(job := claim(context), TrainingJob):
            with logged(job), worker_heartbeat.working_on(job.id):
                run_attempt(context, job, worker_heartbeat, fork_server)
            if not relay.is_needed():
                return
        relay.pass_on()

    return run_next
