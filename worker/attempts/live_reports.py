"""Publishes what a running job produces, before the database has it, at most ten times a second."""

import math
import time
from collections.abc import Sequence
from typing import Any

from shared import trainer_protocol
from shared.broker import Broker, LiveMessage

PERIOD_S = 0.1  # between two messages of one job
MOST_POINTS = 1_000  # of one message; the rest comes from the database
MOST_TEXT = 16_384  # characters of all texts up to which a message repeats them from their start
MOST_NEW_TEXT = 65_536  # characters of one message


class LivePoints:
    """Points of a training job's curves."""

    def __init__(self, broker: Broker, job_id: str) -> None:
        self._broker, self._job_id = broker, job_id
        self._points: list[dict[str, Any]] = []
        self._due_at = 0.0

    def add(self, event: trainer_protocol.Metrics) -> None:
        """Add the points of one step."""
        at = time.time()
        for name, value in event.values.items():
            if math.isfinite(value) and len(self._points) < MOST_POINTS:
                self._points.append({"name": name, "step": event.step, "epoch": event.epoch, "value": value, "at": at})

    def publish_when_due(self) -> None:
        """Publish the points that were added, unless the last message is too recent."""
        now = time.monotonic()
        if self._points and now >= self._due_at:
            self._due_at = now + PERIOD_S
            points, self._points = self._points, []
            self._broker.publish_live(LiveMessage(job_id=self._job_id, content={"points": points}))

    def stored(self) -> None:
        """Publish that the job's rows have changed."""
        self._broker.publish_live(LiveMessage(job_id=self._job_id))


class LiveTexts:
    """The texts of a generation as they are written. A generation of less than `PERIOD_S` publishes none."""

    def __init__(self, broker: Broker, job_id: str) -> None:
        self._broker, self._job_id = broker, job_id
        self._due_at = time.monotonic() + PERIOD_S
        self._published = 0

    def publish_when_due(self, texts: Sequence[str]) -> None:
        """Publish the texts, unless the last message is too recent. Texts of one request are equally long."""
        now = time.monotonic()
        length = max(map(len, texts), default=0)
        if now < self._due_at or length == self._published:
            return
        self._due_at = now + PERIOD_S
        start = 0 if length * len(texts) <= MOST_TEXT else self._published
        if (length - start) * len(texts) <= MOST_NEW_TEXT:
            content = {"start": start, "texts": [text[start:] for text in texts]}
            self._broker.publish_live(LiveMessage(job_id=self._job_id, content=content))
        self._published = length
