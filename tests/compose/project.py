"""The stack of the Compose files under separate project names, started and removed."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.compose.engine import EngineError, docker

ROOT = Path(__file__).parents[2]
NAME = "mimeo-compose-test"
UP_TIMEOUT_S = 300


class Project:
    """One deployment: its address and the commands of a user."""

    def __init__(self, port: int, *, name: str = NAME, files: tuple[str, ...] = ("docker-compose.yml",)) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._name = name
        self._files = [part for file in files for part in ("--file", str(ROOT / file))]

    def compose(self, *arguments: str, check: bool = True) -> str:
        """The output of `docker compose ARGUMENTS`, with no `.env` but the variables of this process."""
        options = ["--project-name", self._name, *self._files, "--env-file", os.devnull, "--progress", "plain"]
        return docker("compose", *options, *arguments, check=check)

    def up(self, *arguments: str) -> None:
        """Start the missing services and wait until all are healthy."""
        self.compose("up", "--detach", "--wait", "--wait-timeout", str(UP_TIMEOUT_S), *arguments)

    def containers(self, service: str | None = None) -> list[str]:
        """Ids of this project's containers, stopped ones included."""
        filters = ["--filter", f"label=com.docker.compose.project={self._name}"]
        if service:
            filters += ["--filter", f"label=com.docker.compose.service={service}"]
        return docker("ps", "--all", "--quiet", *filters).split()

    def volumes(self) -> list[str]:
        """Names of this project's volumes."""
        return docker("volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={self._name}").split()

    def down(self) -> None:
        """Stop and remove containers, networks and volumes."""
        self.compose("down", "--volumes", "--remove-orphans")


def make_secrets(folder: Path) -> None:
    """Passwords for the project, from the script of the repository, and their folder in the environment."""
    script = folder / "docker" / "make-secrets.sh"
    script.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "docker" / script.name, script)
    subprocess.run(["sh", str(script)], check=True, stdout=subprocess.DEVNULL)
    os.environ["MIMEO_SECRETS_DIR"] = str(folder / "secrets")


@contextmanager
def deployed(
    *services: str, name: str = NAME, files: tuple[str, ...] = ("docker-compose.yml",), variables: dict[str, str]
) -> Iterator[Project]:
    """A project on a free port, started and healthy. It is removed at the end; a failure prints its logs.

    services: of the files, all when none is named. variables: for interpolation.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    os.environ.update({"MIMEO_PORT": str(port), **variables})
    project = Project(port, name=name, files=files)
    project.down()
    try:
        project.up(*services)
        yield project
    except BaseException:
        print(project.compose("ps", "--all", check=False), flush=True)
        print(project.compose("logs", "--no-color", "--tail", "20", check=False), flush=True)
        raise
    finally:
        try:
            project.down()
        except EngineError as error:
            print(error, flush=True)
