"""Search and order of lists of jobs."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, String, and_, case, exists, func, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from shared.db.tables import Job
from shared.errors import SpecError
from shared.job_status import JobStatus

MAX_WORDS = 10
_ESCAPE = "\\"


class JobSort(StrEnum):
    """Order of a list of jobs. `status`: those in work, then those that wait, then ended ones; newest first in each."""

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"
    STATUS = "status"


_BY_STATUS = (
    JobStatus.RUNNING,
    JobStatus.PAUSING,
    JobStatus.CANCELLING,
    JobStatus.QUEUED,
    JobStatus.PAUSED,
    JobStatus.FAILED,
    JobStatus.CANCELLED,
    JobStatus.SUCCEEDED,
)
_SORT_KEYS: dict[JobSort, ColumnElement[Any]] = {
    JobSort.NAME: func.lower(func.coalesce(Job.name, Job.id)),
    JobSort.STATUS: case({status.value: rank for rank, status in enumerate(_BY_STATUS)}, value=Job.status.cast(String)),
}


def matches(session: Session, q: str, in_spec: Sequence[str]) -> ColumnElement[bool]:
    """Condition: each word of `q` is part of the name, id, model type, metadata or `in_spec`, in any case.

    in_spec: names of text fields of the job's spec.
    """
    words = q.lower().split()
    if len(words) > MAX_WORDS:
        raise SpecError.at("?q", f"Search for at most {MAX_WORDS} words.", "too_long")
    texts = [Job.name, Job.id, Job.model_type, *(Job.spec[name].as_string() for name in in_spec)]
    return and_(true(), *(_has_word(session, texts, word) for word in words))


def _has_word(session: Session, texts: Sequence[Any], word: str) -> ColumnElement[bool]:
    pattern = f"%{word.replace(_ESCAPE, _ESCAPE * 2).replace('%', f'{_ESCAPE}%').replace('_', f'{_ESCAPE}_')}%"
    # SQLite and PostgreSQL read the values of a JSON object by functions of their own.
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    read = func.json_each(Job.labels) if is_sqlite else func.jsonb_each_text(Job.labels)
    values = read.table_valued("key", "value")
    in_metadata = exists(select(1).select_from(values).where(func.lower(values.c.value).like(pattern, escape=_ESCAPE)))
    return or_(*(func.lower(text).like(pattern, escape=_ESCAPE) for text in texts), in_metadata)


def order(sort: JobSort, key: InstrumentedAttribute[str]) -> tuple[ColumnElement[Any], ...]:
    """The terms of ORDER BY. key: the id."""
    match sort:
        case JobSort.NEWEST:
            return (key.desc(),)
        case JobSort.OLDEST:
            return (key.asc(),)
        case JobSort.NAME:
            return (_SORT_KEYS[sort], key.asc())
        case JobSort.STATUS:
            return (_SORT_KEYS[sort], key.desc())


def follows(session: Session, sort: JobSort, key: InstrumentedAttribute[str], after: str) -> ColumnElement[bool]:
    """Condition: a job comes after the job `after` in this order. Raises SpecError where that job no longer exists."""
    later = key < after if sort in {JobSort.NEWEST, JobSort.STATUS} else key > after
    if sort not in _SORT_KEYS:
        return later
    value = _SORT_KEYS[sort]
    last = session.execute(select(value).where(key == after)).scalar_one_or_none()
    if last is None:
        raise SpecError.at("?after", "This job no longer exists; read the list again from its start.", "unknown")
    return or_(value > last, and_(value == last, later))
