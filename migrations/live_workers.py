"""Refuses migrations beside workers whose code does not know them."""

from collections.abc import Sequence

from alembic.script import Script
from sqlalchemy import ColumnElement, Connection, column, inspect, select, table, true

from shared.db.clock import db_now
from shared.errors import SetupError
from shared.settings import Settings

_WORKERS = table(
    "workers", column("id"), column("kind"), column("host"), column("heartbeat_at"), column("contract_step")
)
_NAMED = 3


def refuse_beside_older(connection: Connection, settings: Settings, pending: Sequence[Script]) -> None:
    """Raise SetupError where a pending migration is a contract step that a live worker does not know."""
    steps = sorted(script.revision for script in pending if getattr(script.module, "contract", False))
    if steps and (older := names_of_live(connection, settings, older_than=steps[-1])):
        raise SetupError(
            f"Migration {steps[-1]} cannot run beside older workers, and {_listed(older)}. Stop them first. "
            f"A worker that was killed counts for {_patience_s(settings):.0f} s."
        )


def refuse_beside_any(connection: Connection, settings: Settings) -> None:
    """Raise SetupError where a worker is live: a downgrade removes what it uses."""
    if live := names_of_live(connection, settings):
        raise SetupError(
            f"A downgrade cannot run beside workers, and {_listed(live)}. Stop them first. "
            f"A worker that was killed counts for {_patience_s(settings):.0f} s."
        )


def names_of_live(connection: Connection, settings: Settings, *, older_than: str | None = None) -> list[str]:
    """Kind, id and host of each live worker. older_than: only those that do not know this contract step."""
    if not inspect(connection).has_table("workers"):
        return []
    recent = _WORKERS.c.heartbeat_at > db_now() - round(1000 * _patience_s(settings))
    known = {each["name"] for each in inspect(connection).get_columns("workers")}
    is_older: ColumnElement[bool] = true()
    if older_than is not None and "contract_step" in known:
        step = _WORKERS.c.contract_step
        is_older = step.is_(None) | (step < older_than)
    query = select(_WORKERS.c.kind, _WORKERS.c.id, _WORKERS.c.host).where(recent, is_older).order_by(_WORKERS.c.id)
    return [f"{kind} {worker_id} on {host}" for kind, worker_id, host in connection.execute(query)]


def _patience_s(settings: Settings) -> float:
    return 3 * settings.lease_s


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    verb = "runs" if len(names) == 1 else "run"
    return f"{', '.join(names[:_NAMED])}{more} still {verb}"
