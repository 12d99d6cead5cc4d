"""`python docker/slim.py SITE_PACKAGES`: remove what the API never loads from an installation, and print its size.

Removed are botocore's descriptions of services other than S3, the terminal library of Celery's shell, debug symbols and
stubs. It needs binutils' `strip`.
"""

import shutil
import subprocess
import sys
from pathlib import Path

# S3, and the services that hand out its credentials.
_KEPT_SERVICES = frozenset({"s3", "sts", "sso", "sso-oidc"})
_SHELL = ("click_repl", "prompt_toolkit", "wcwidth")
_UNUSED = (".pyi", ".pyx", ".pxd", ".c", ".h")


def slim(packages: Path) -> None:
    """Remove the files. Raises FileNotFoundError without `strip`."""
    for service in (packages / "botocore" / "data").iterdir():
        if service.is_dir() and service.name not in _KEPT_SERVICES:
            shutil.rmtree(service)
    for package in _SHELL:
        shutil.rmtree(packages / package)
    for path in [path for path in packages.rglob("*") if path.is_file()]:
        if path.suffix in _UNUSED:
            path.unlink()
        elif ".so" in path.suffixes:
            # Exit status 1: a library that `strip` cannot rewrite. It is left as it is.
            subprocess.run(["strip", "--strip-debug", str(path)], check=False, stderr=subprocess.DEVNULL)  # noqa: S607


def megabytes(folder: Path) -> float:
    """Bytes of all files in a folder, in millions."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


if __name__ == "__main__":
    target = Path(sys.argv[1])
    before = megabytes(target)
    slim(target)
    print(f"{target}: {before:.0f} MB, without unused files {megabytes(target):.0f} MB")
