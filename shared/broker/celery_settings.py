"""The Celery application of senders and workers. Messages are acknowledged early and have no results."""

from typing import Any

from celery import Celery

from shared.job_status import JobKind, Priority
from shared.settings import Settings

KEY_PREFIX = "mimeo:"
PRIORITY_STEPS = [0, 3, 6, 9]


def task_name(kind: JobKind) -> str:
    """Name of the task that a notification of this kind starts; its queue is named after the kind."""
    return f"mimeo.{kind}"


def message_priority(priority: Priority) -> int:
    """Redis priority step: 0 is served first."""
    return priority.rank * 3


def make_celery(settings: Settings, *, worker_kind: JobKind | None = None) -> Celery:
    """The application.

    worker_kind: the kind of a worker, which retries its connection to Redis without limit. None: a sender, which
    gives up within a second.
    """
    app = Celery("mimeo", broker=settings.celery_broker_url, set_as_current=worker_kind is not None)
    app.conf.update(
        task_acks_late=False,
        task_ignore_result=True,
        result_backend=None,
        task_serializer="json",
        accept_content=["json"],
        task_default_queue=worker_kind or JobKind.TRAINING,
        task_create_missing_queues=True,
        broker_transport_options=_transport(is_worker=worker_kind is not None),
        broker_connection_retry=worker_kind is not None,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=worker_kind is not None,  # a key of the wrong type, a full or read-only Redis
        broker_connection_timeout=1.0,
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        enable_utc=True,
    )
    return app


def _transport(*, is_worker: bool) -> dict[str, Any]:
    options: dict[str, Any] = {
        "queue_order_strategy": "priority",
        "priority_steps": PRIORITY_STEPS,
        "global_keyprefix": KEY_PREFIX,
        "socket_keepalive": True,
        "socket_connect_timeout": 1.0,
        # A worker's blocking pop lasts a second. A connection silent for longer than these time-outs is half open.
        "socket_timeout": 5.0 if is_worker else 1.0,
        "health_check_interval": 5,
    }
    if not is_worker:
        options["max_retries"] = 0
    return options
