"""A worker process: Celery receives notifications from Redis, one thread runs one job at a time."""

import importlib
from contextlib import ExitStack
from typing import Any

import structlog
from celery import Celery
from celery.signals import setup_logging, worker_shutting_down

from shared.broker.celery_settings import make_celery, task_name
from worker import notification_transport
from worker.consumer_watchdog import ConsumerWatchdog
from worker.context import WorkerContext
from worker.worker_heartbeat import WorkerHeartbeat

log = structlog.get_logger(__name__)


def run(context: WorkerContext) -> None:
    """Run until the process gets a stop signal. Returns when the current job has been finished or released."""
    setup_logging.connect(_keep_logging, weak=False)
    watchdog = ConsumerWatchdog(context)
    with WorkerHeartbeat(context) as worker_heartbeat, ExitStack() as background:
        app = make_app(context, worker_heartbeat, watchdog, background)
        log.info("worker ready", kind=context.kind, worker=context.id)
        with watchdog:
            app.worker_main([
                "worker",
                "--concurrency=1",
                f"--queues={context.kind}",
                f"--hostname={context.kind}-{context.id}@%h",
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
                f"--loglevel={context.settings.log_level}",
            ])  # fmt: skip


def make_app(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, watchdog: ConsumerWatchdog, background: ExitStack
) -> Celery:
    """The Celery application with the one task of this worker's kind, which is prepared here.

    background: is closed after the last task; the task may add to it what it needs until then.
    """
    notification_transport.install(context.kind, context.broker.record_dropped)
    app = make_celery(context.settings, worker_kind=context.kind)
    app.conf.worker_pool = "worker.celery_pool:PromptFetchPool"
    run_next = importlib.import_module(f"worker.tasks.{context.kind}").prepare(context, worker_heartbeat, background)

    @app.task(name=task_name(context.kind), ignore_result=True)
    def take(job_id: str) -> None:
        log.debug("notification received", job_id=job_id)
        with watchdog.taking():
            run_next()

    def on_shutting_down(**_: Any) -> None:
        context.stopping.set()

    worker_shutting_down.connect(on_shutting_down, weak=False)
    return app


def _keep_logging(**_: Any) -> None:
    """Do nothing: Celery does not configure logging when its signal has a receiver."""
