"""A clock that tests move, in place of the database's clock.

`db_now()` compiles to an expression of its dialect. Here a number replaces that expression in each statement, just
before it runs, on one engine. The services and the product's clock are unchanged.
"""

from typing import Any

from sqlalchemy import Engine, event

from shared.db.clock import db_now

START_MS = 1_700_000_000_000


class FakeClock:
    """The clock of one engine, in milliseconds since 1970 UTC, and a monotonic clock. Both change only when moved."""

    def __init__(self, engine: Engine) -> None:
        self.now_ms = START_MS
        self._elapsed_ms = 0
        self._expression = str(db_now().compile(dialect=engine.dialect))
        event.listen(engine, "before_cursor_execute", self._replace, retval=True)

    def monotonic(self) -> float:
        """Elapsed seconds; `jump` does not change them."""
        return self._elapsed_ms / 1000

    def advance(self, ms: int) -> None:
        """Advance both clocks."""
        self.now_ms += ms
        self._elapsed_ms += ms

    def jump(self, ms: int) -> None:
        """Set the database's clock, as an administrator may."""
        self.now_ms += ms

    def _replace(
        self, _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
    ) -> tuple[str, Any]:
        return statement.replace(self._expression, str(self.now_ms)), parameters
