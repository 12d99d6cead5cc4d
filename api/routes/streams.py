"""Live streams of server-sent events: one job, or all jobs."""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from itertools import chain

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from sqlalchemy.orm import Session

from api import request_slots
from api.authentication import identity, refusal_check
from api.headers import StreamHeaders
from api.openapi import stream_answers
from api.parameters import GenerationJobPath, StreamQuery, TrainingJobPath
from api.runtime import Runtime, runtime
from api.streams import overview
from api.streams.cursor import Cursor
from api.streams.hub import Subscription, hub
from api.streams.job_stream import JobStream
from api.tags import STREAMS
from shared.db.tables import Job
from shared.errors import Unavailable
from shared.services import generation_jobs, training_jobs

# Reads the state once subscribed: the first frames, and an iterator over later ones.
Opener = Callable[[Subscription], tuple[list[bytes], Iterator[bytes]]]

routes = APIBlueprint("streams", __name__, url_prefix="/v1", abp_tags=[STREAMS])


@routes.get("/training-jobs/<id>/stream", responses=stream_answers(404, 422))
def stream_training_job(path: TrainingJobPath, query: StreamQuery, header: StreamHeaders) -> Response:
    """Follow a training job as server-sent events until it ends.

    Events: `job` (the job, first and after each change), `metrics` (new points), `history` (an event of the job),
    `sample` (an artifact), `resync` (too much was missed: read the job again), `deleted`, `end`. A client that connects
    again with `Last-Event-ID` receives what it has missed. Points are sent as they are measured, without an id, and
    again with one when they are recorded: a client keeps one point for each curve and step.
    """
    return _follow_job(path.id, training_jobs.get, header.last_event_id or query.after)


@routes.get("/generation-jobs/<id>/stream", responses=stream_answers(404, 422))
def stream_generation_job(path: GenerationJobPath, query: StreamQuery, header: StreamHeaders) -> Response:
    """Follow a generation job as server-sent events until it ends.

    Events: `job` (first and after each change; the last has the output), `text` (texts as they are written: replace
    the characters from `start` on), `history`, `deleted`, `end`. A text that is short, or that was written before the
    connection, comes with the job's output alone.
    """
    return _follow_job(path.id, generation_jobs.get, header.last_event_id or query.after)


@routes.get("/jobs/stream", responses=stream_answers(422))
def stream_jobs(query: StreamQuery, header: StreamHeaders) -> Response:
    """Follow all jobs as server-sent events, without an end.

    Events: `queue` (counts by kind, the order of waiting training jobs, live workers), `job` (a job after a change; its
    `object` names the kind), `deleted`, `resync` (read the lists again).
    """
    current = runtime()

    def open_stream(subscription: Subscription) -> tuple[list[bytes], Iterator[bytes]]:
        with current.reading() as session:
            first = overview.begin(session, current.settings, identity().owner, header.last_event_id or query.after)
        return first, overview.follow(subscription, _is_over(current))

    return _stream(current, hub().subscribe(None, identity().owner), open_stream)


def _follow_job(job_id: str, get: Callable[[Session, str], Job], position: str | None) -> Response:
    """The stream of one job. position: the id of the last event that the client has received."""
    current = runtime()
    after = Cursor.parse(position) if position else None

    def open_stream(subscription: Subscription) -> tuple[list[bytes], Iterator[bytes]]:
        stream = JobStream(subscription)
        with current.reading() as session:
            first = stream.begin(session, get(session, job_id), after)
        return first, stream.follow(_is_over(current))

    with current.reading() as session:  # an unknown id takes no place among the streams
        get(session, job_id)
    return _stream(current, hub().subscribe(job_id, identity().owner), open_stream)


def _is_over(current: Runtime) -> Callable[[], bool]:
    """Whether the server stops, the client of the current request has hung up, or its key or session has ended."""
    has_hung_up, is_refused = request_slots.hang_up_check(), refusal_check(current)
    return lambda: current.is_stopping.is_set() or has_hung_up() or is_refused()


def _stream(current: Runtime, subscribing: AbstractContextManager[Subscription], open_stream: Opener) -> Response:
    """The response of a stream. Raises Unavailable when as many streams are open as the settings permit."""
    body = _body(current, subscribing, open_stream)
    first = next(body)  # errors of the first read become problems
    response = Response(chain((first,), body), mimetype="text/event-stream")
    response.call_on_close(body.close)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx passes each event on at once
    return response


def _body(
    current: Runtime, subscribing: AbstractContextManager[Subscription], open_stream: Opener
) -> Generator[bytes, None, None]:
    if not current.streams.take():
        limit = current.streams.limit
        raise Unavailable(f"{limit} streams are open, the limit of MIMEO_MAX_STREAMS. Close one, or try again later.")
    try:
        with subscribing as subscription:
            first, later = open_stream(subscription)
            yield b"".join(first)
            yield from later
    finally:
        current.streams.leave()
