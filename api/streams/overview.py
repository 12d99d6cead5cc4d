"""The stream of all jobs: every change of a job, and the state of the queue."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from api.streams.changes import Change, deleted_json, read_job, read_queue
from api.streams.frames import COMMENT, RETRY, frame
from api.streams.hub import Subscription, changes
from shared.services import job_changes
from shared.settings import Settings

LONGEST_GAP = timedelta(minutes=10)  # a client that was away for longer reads the lists again
_EPOCH = datetime.fromtimestamp(0, tz=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def begin(session: Session, settings: Settings, owner: str, last_event_id: str | None) -> list[bytes]:
    """The first frames: changes since `last_event_id`, or `resync` if they may be too many; then the queue.

    last_event_id: the time up to which a client has received changes, in milliseconds since 1970 UTC.
    """
    frames = [RETRY]
    now = job_changes.now(session)
    if last_event_id is not None:
        since = _moment(last_event_id)
        if since is None or not timedelta(0) <= now - since < LONGEST_GAP:
            frames.append(frame("resync", "{}", event_id=_id(now)))
        else:
            ids = list(job_changes.changed_since(session, since - job_changes.LOOK_BACK))
            frames += [frame("job", read_job(session, job)) for job in job_changes.jobs(session, ids)]
    return [*frames, frame("queue", read_queue(session, settings).frame_data(owner), event_id=_id(now))]


def follow(subscription: Subscription, is_over: Callable[[], bool]) -> Iterator[bytes]:
    """Later frames, until `is_over`; a comment every ten seconds."""
    for change in changes(subscription, is_over):
        if isinstance(change, Change):
            yield _frame(change, subscription.owner)
        elif change is None:
            yield COMMENT
    if subscription.is_overrun:
        yield frame("resync", "{}")


def _frame(change: Change, owner: str) -> bytes:
    event_id = _id(change.at)
    if change.queue is not None:
        return frame("queue", change.queue.frame_data(owner), event_id=event_id)
    if change.job is None:
        return frame("deleted", deleted_json(change.job_id), event_id=event_id)
    return frame("job", change.job, event_id=event_id)


def _id(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _moment(text: str) -> datetime | None:
    return _EPOCH + int(text) * _MILLISECOND if text.isascii() and text.isdigit() and len(text) < 15 else None
