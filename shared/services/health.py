"""Whether the database answers."""

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from shared.db.session import SessionFactory, reading
from shared.errors import Unavailable


def ping(factory: SessionFactory) -> None:
    """Ask the database for one row. Raises Unavailable."""
    try:
        with reading(factory) as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        raise Unavailable("The database does not answer.") from error
