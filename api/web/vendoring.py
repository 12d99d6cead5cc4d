"""`python -m api.web.vendoring`: fetches the studio's libraries with npm, or compares them with their recorded sums.

The files lie in `static/vendor/NAME/`. A file that is served compressed is kept compressed (`.gz`).
"""

import argparse
import gzip
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VENDOR = Path(__file__).parent / "static" / "vendor"
SUMS = VENDOR / "SHA256SUMS"


@dataclass(frozen=True, kw_only=True)
class Package:
    """One npm package. files: paths in it. compressed: those of them that are kept as `.gz`."""

    name: str
    version: str
    license: str
    files: tuple[str, ...]
    compressed: tuple[str, ...] = ()


def packages() -> list[Package]:
    """The packages of `vendor.toml`."""
    listed = tomllib.loads((VENDOR / "vendor.toml").read_text("utf-8"))["package"]
    return [
        Package(
            name=entry["name"],
            version=entry["version"],
            license=entry["license"],
            files=tuple(entry["files"]),
            compressed=tuple(entry.get("compressed", ())),
        )
        for entry in listed
    ]


def fetch(package: Package) -> None:
    """Write the files of a package. Raises subprocess.CalledProcessError, KeyError for a path it lacks."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        with tarfile.open(Path(folder) / done.stdout.split()[-1]) as archive:
            for name in package.files:
                member = archive.extractfile(f"package/{name}")
                assert member is not None, f"{name} is not a file"
                content = member.read()
                target = VENDOR / package.name / name.removeprefix("dist/")
                target.parent.mkdir(parents=True, exist_ok=True)
                if name in package.compressed:
                    target = target.with_name(target.name + ".gz")
                    content = gzip.compress(content, 9, mtime=0)
                target.write_bytes(content)


def sums() -> dict[str, str]:
    """The sha256 of each vendored file, by its path below `static/vendor`."""
    return {path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in _files()}


def recorded_sums() -> dict[str, str]:
    """The sums in `SHA256SUMS`."""
    lines = SUMS.read_text("utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def _files() -> Iterator[Path]:
    return (path for path in sorted(VENDOR.rglob("*")) if path.is_file() and path.parent != VENDOR)


def main() -> int:
    """Fetch every package and record the sums; with `--check`, only compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare the files with their recorded sums")
    if not parser.parse_args().check:
        for package in packages():
            fetch(package)
        SUMS.write_text("".join(f"{digest}  {name}\n" for name, digest in sums().items()), "utf-8")
    differing = sorted({name for name, _ in sums().items() ^ recorded_sums().items()})
    for name in differing:
        sys.stderr.write(f"{name} differs from SHA256SUMS\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
