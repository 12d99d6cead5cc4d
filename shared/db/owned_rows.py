"""Restricts a session to the rows of one owner, and to those that belong to all owners."""

from typing import Any

from sqlalchemy import ColumnElement, event, null, or_, true
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria

from shared.db.tables import DEFAULT_OWNER, Job, Model, UploadedDataset
from shared.errors import Forbidden

_KEY = "mimeo_owner"
_MAY_CHANGE_SHARED = "mimeo_may_change_shared"
# An option of a statement that counts or orders the rows of all owners, such as a place in the queue.
_ALL_OWNERS = "mimeo_all_owners"
ALL_OWNERS = {_ALL_OWNERS: True}


def restrict(session: Session, owner: str | None, *, may_change_shared: bool = False) -> None:
    """Let every later ORM query of the session see the rows of `owner` alone; None: of all owners.

    may_change_shared: whether `check_may_change` permits rows that belong to all owners.
    Statements on a table (`table_of`) are not restricted: read the row through its class first.
    """
    session.info[_KEY] = owner
    session.info[_MAY_CHANGE_SHARED] = may_change_shared


def check_may_change(session: Session, owner: str | None) -> None:
    """Check that the session may change a row that it sees. owner: of the row. Raises Forbidden for a shared one."""
    if owner is None and session.info.get(_KEY) is not None and not session.info[_MAY_CHANGE_SHARED]:
        raise Forbidden("This belongs to every owner; only a key with the scope admin changes or deletes it.")


def owner_of(session: Session) -> str:
    """The owner of rows that the session adds."""
    return session.info.get(_KEY) or DEFAULT_OWNER


def is_own(session: Session, column: Any) -> ColumnElement[bool]:
    """Condition: a row is the owner's alone. It lets an index that starts with the owner give the order of a list."""
    owner = session.info.get(_KEY)
    return true() if owner is None else column == owner


def shared_owner(owner: str | None) -> Any:
    """A value for the column `owner` of a new row. The ORM would replace None by the column's default."""
    return null() if owner is None else owner


@event.listens_for(Session, "do_orm_execute")
def _add_criteria(state: ORMExecuteState) -> None:
    owner = state.session.info.get(_KEY)
    if owner is None or state.is_column_load or state.is_relationship_load or state.is_insert:
        return
    if state.execution_options.get(_ALL_OWNERS):
        return
    state.statement = state.statement.options(
        with_loader_criteria(Job, lambda job: or_(job.owner == owner, job.owner.is_(None)), include_aliases=True),
        with_loader_criteria(Model, lambda row: or_(row.owner == owner, row.owner.is_(None)), include_aliases=True),
        with_loader_criteria(UploadedDataset, lambda row: row.owner == owner, include_aliases=True),
    )
