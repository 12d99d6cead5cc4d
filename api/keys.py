"""`python -m api.keys`, the program of `mimeo keys`: create, list and revoke API keys in the server's database.

It runs on the server, by its settings. Exit status: 0 done, 2 an invalid argument, or a database that does not answer.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared.db.session import database_url, make_engine, session_factory, transaction
from shared.db.tables import DEFAULT_OWNER, ApiKey
from shared.errors import MimeoError, SetupError
from shared.identity import Scope
from shared.services import api_keys
from shared.settings import Settings, reason

_UNMIGRATED = "The database has no tables for API keys: run `python -m migrations upgrade`, or start `mimeo up` once."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status."""
    options = parser().parse_args(arguments)
    run: Callable[[Session, argparse.Namespace], None] = options.run
    try:
        settings = Settings()
        _check_database(settings)
        engine = make_engine(settings)
        try:
            with transaction(session_factory(engine)) as session:
                run(session, options)
        finally:
            engine.dispose()
    except (SetupError, ValidationError) as error:
        print(f"mimeo: {reason(error)}", file=sys.stderr)
    except MimeoError as error:
        print(f"mimeo: {error.detail}", file=sys.stderr)
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        is_unmigrated = "api_keys" in cause or "owners" in cause
        print(f"mimeo: {_UNMIGRATED if is_unmigrated else f'The database cannot be used: {cause}'}", file=sys.stderr)
    else:
        return 0
    return 2


def _check_database(settings: Settings) -> None:
    """Check that a SQLite database is there, because a connection would create an empty one. Raises SetupError."""
    url = database_url(settings)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise SetupError(
            f"There is no database at {url.database}. Set MIMEO_HOME to the folder of the server, or start `mimeo up` "
            "once."
        )


def parser() -> argparse.ArgumentParser:
    """The options of the program."""
    found = argparse.ArgumentParser(prog="mimeo keys", description="API keys, in the database of this server.")
    commands = found.add_subparsers(required=True, metavar="create|list|revoke")
    create = commands.add_parser("create", help="create a key and print it once")
    create.add_argument(
        "--owner", default=DEFAULT_OWNER, help=f"whose jobs, models and datasets it sees (default {DEFAULT_OWNER})"
    )
    create.add_argument(
        "--scope",
        action="append",
        choices=list(Scope),
        type=Scope,
        help="read, write (with read), admin (with all), metrics (/metrics alone); repeatable, default write",
    )
    create.add_argument("--days", type=_days, help="days until it expires; never when left out")
    create.add_argument("--name", help="what it is for")
    create.set_defaults(run=_create)
    listing = commands.add_parser("list", help="list the keys, without their secrets")
    listing.add_argument("--owner", help="of this owner alone")
    listing.set_defaults(run=_list)
    revoke = commands.add_parser("revoke", help="revoke a key and the browser sessions opened with it")
    revoke.add_argument("id", help="the id that `mimeo keys list` shows")
    revoke.set_defaults(run=_revoke)
    return found


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days <= 36_500:
        raise argparse.ArgumentTypeError("give more than 0 and at most 36500 days")
    return days


def _create(session: Session, options: argparse.Namespace) -> None:
    scopes = options.scope or [Scope.WRITE]
    new = api_keys.create(session, options.owner, scopes, name=options.name, days=options.days)
    print(new.secret)
    end = f", expires {_time(new.row.expires_at)}" if new.row.expires_at else ""
    print(f"Owner {new.row.owner}, scopes: {new.row.scopes}{end}. It is not shown again.", file=sys.stderr)


def _list(session: Session, options: argparse.Namespace) -> None:
    rows = api_keys.list_keys(session, options.owner)
    if not rows:
        print("There is no key. `mimeo keys create` makes one.", file=sys.stderr)
    for row in rows:
        print(f"{row.id}  {row.owner:16}  {row.scopes:12}  {_time(row.created_at)}  {_state(row):26}  {row.name or ''}")


def _revoke(session: Session, options: argparse.Namespace) -> None:
    row = api_keys.revoke(session, options.id)
    print(f"Key {row.id} of {row.owner} is revoked.", file=sys.stderr)


def _state(row: ApiKey) -> str:
    if row.revoked_at is not None:
        return f"revoked {_time(row.revoked_at)}"
    return f"until {_time(row.expires_at)}" if row.expires_at is not None else "valid"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M")


if __name__ == "__main__":
    sys.exit(main())
