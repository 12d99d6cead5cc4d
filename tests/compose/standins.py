"""Stand-ins for the official images, made from Debian packages where the official ones cannot be pulled.

A stand-in has the official image's name, so that the Dockerfiles and docker-compose.yml are tested unchanged.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.compose.engine import EngineError, docker, has_compose

FOLDER = Path(__file__).parent / "standins"
OFFICIAL = ("python:3.11.14-slim-bookworm", "redis:8.0.6", "postgres:17.7")
SUITES = ("bookworm", "trixie")
# Where the machine reaches registries through a certificate of its own, containers need that certificate too.
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
CA_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")


def provide_images(cache: Path) -> str:
    """Provide each official image or its stand-in, and Compose v2. Prints which of the two it is."""
    if not has_compose():
        _install_compose(cache)
    missing = [image for image in OFFICIAL if not _present(image) and not _pull(image)]
    if missing:
        print(f"Cannot pull {', '.join(missing)}: building stand-ins from Debian's packages", flush=True)
        for suite in SUITES:
            _debian(suite)
        services = [image.partition(":")[0] for image in missing]
        docker("compose", "--file", str(FOLDER / "compose.yml"), "build", *services)
    return ", ".join(f"{image} ({'stand-in' if _is_standin(image) else 'official'})" for image in OFFICIAL)


def _present(image: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0


def _is_standin(image: str) -> bool:
    return docker("image", "inspect", "--format", '{{index .Config.Labels "mimeo.standin"}}', image).strip() == "yes"


def _pull(image: str) -> bool:
    return subprocess.run(["docker", "pull", "--quiet", image], capture_output=True, check=False).returncode == 0


def _debian(suite: str) -> None:
    """A minimal Debian image, unless it exists already.

    Raises:
        EngineError: `debootstrap` is missing or failed.
    """
    image = f"mimeo-standin/debian:{suite}"
    if _present(image):
        return
    if shutil.which("debootstrap") is None:
        raise EngineError(
            "the official images cannot be pulled, and stand-ins take debootstrap: apt-get install debootstrap"
        )
    with tempfile.TemporaryDirectory(prefix="mimeo-standin-") as scratch:
        root = Path(scratch) / "root"
        command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", suite, str(root)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EngineError("debootstrap failed:\n" + "\n".join(done.stdout.splitlines()[-10:]))
        changes = ["--change", "LABEL mimeo.standin=yes"]
        if CA_BUNDLE.exists():
            shutil.copyfile(CA_BUNDLE, root / CA_BUNDLE.relative_to("/"))
            for variable in CA_VARIABLES:
                changes += ["--change", f"ENV {variable}={CA_BUNDLE}"]
        archive = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
        imported = subprocess.run(
            ["docker", "import", *changes, "-", image], stdin=archive.stdout, capture_output=True, check=False
        )
        if archive.wait() or imported.returncode:
            raise EngineError(f"docker import failed: {imported.stderr.decode(errors='replace')}")


def _install_compose(cache: Path) -> None:
    """Install Debian 13's Compose v2 plugin into a separate Docker configuration; it needs only libc6."""
    _debian("trixie")
    plugins = cache / "cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    if not (plugins / "docker-compose").exists():
        fetch = (
            "cd /tmp && apt-get update -qq && apt-get download -qq docker-compose && dpkg-deb -x docker-compose_*.deb x"
            " && cd x/usr/libexec/docker/cli-plugins"
            " && cp docker-compose /plugins/.partial && mv /plugins/.partial /plugins/docker-compose"
        )
        docker("run", "--rm", "--volume", f"{plugins}:/plugins", "mimeo-standin/debian:trixie", "sh", "-c", fetch)
    os.environ["DOCKER_CONFIG"] = str(cache)
    if not has_compose():
        raise EngineError("Compose v2 was fetched but does not run")
