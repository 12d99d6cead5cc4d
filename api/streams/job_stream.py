"""The stream of one job: its state, then each change until it ends."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

from sqlalchemy.orm import Session

from api.streams.changes import MOST_RECORDS, Change, Live, deleted_json, points_json, read_change, read_job
from api.streams.cursor import Cursor
from api.streams.frames import COMMENT, RETRY, frame
from api.streams.hub import Subscription, changes
from shared.db.tables import Job
from shared.services import job_changes


class JobStream:
    """The events of one stream. `after`: the cursor of a client that continues."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._cursor = Cursor()
        self._sent_samples: set[str] = set()
        self._is_over = False

    def begin(self, session: Session, job: Job, after: Cursor | None) -> list[bytes]:
        """The first frames: the job, and the records that a continuing client has missed."""
        if after is None:
            self._cursor = Cursor.newest(session, job.id)
            frames = [RETRY, frame("job", read_job(session, job), event_id=self._cursor)]
            self._is_over = job.status.is_terminal
            return frames + ([self._end()] if self._is_over else [])
        self._cursor = after
        change = read_change(session, job, after, at=job_changes.now(session))
        return [RETRY, *self._frames(change)]

    def follow(self, is_over: Callable[[], bool]) -> Iterator[bytes]:
        """Later frames, until the job ends or `is_over`; a comment every ten seconds."""
        for change in changes(self._subscription, lambda: self._is_over or is_over()):
            if change is None:
                yield COMMENT
            elif isinstance(change, Live):
                yield frame(change.event, change.data)  # without an id: it has no position in the records
            else:
                yield b"".join(self._frames(change))
        if self._subscription.is_overrun and not self._is_over:
            yield frame("resync", "{}")

    def _frames(self, change: Change) -> list[bytes]:
        if change.job is None:
            self._is_over = True
            return [frame("deleted", deleted_json(change.job_id)), self._end()]
        if change.has_more:
            self._is_over = True
            return [frame("resync", json.dumps({"reason": f"More than {MOST_RECORDS} records were missed."}))]
        frames = []
        # Each id covers what was sent up to its frame, because a connection may break between two frames.
        points = [(row_id, point) for row_id, point in change.points if row_id > self._cursor.metric]
        if points:
            self._cursor = replace(self._cursor, metric=points[-1][0])
            frames.append(frame("metrics", points_json([point for _, point in points]), event_id=self._cursor))
        for row_id, text in change.events:
            if row_id > self._cursor.event:
                self._cursor = replace(self._cursor, event=row_id)
                frames.append(frame("history", text, event_id=self._cursor))
        frames += self._samples(change)
        frames.append(frame("job", change.job, event_id=self._cursor))
        if change.is_terminal:
            self._is_over = True
            frames.append(self._end())
        return frames

    def _samples(self, change: Change) -> list[bytes]:
        """The new samples; those of the last step are read again with each change, and sent once."""
        frames = []
        for step, key, text in change.samples:
            if key in self._sent_samples:
                continue
            if step > self._cursor.sample_step:
                self._sent_samples.clear()
                self._cursor = replace(self._cursor, sample_step=step)
            self._sent_samples.add(key)
            frames.append(frame("sample", text, event_id=self._cursor))
        return frames

    def _end(self) -> bytes:
        return frame("end", "{}", event_id=self._cursor)
