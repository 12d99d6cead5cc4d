"""The preparation program: `python -m worker.data.prepare NAME`.

Downloads, verifies, unpacks and reads a dataset, and writes its prepared file. On a terminal it writes plain lines; on
a pipe one JSON object a line: `progress`, then `prepared` or `failed`. It is the only program of the workers that
imports torchvision.

Exit status: 0 prepared, 2 there is no such dataset, 4 failed, 5 the process that started it has ended.
"""

import argparse
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from shared.atomic_files import sha256_of
from shared.datasets import REGISTRY, DatasetInfo
from shared.datasets.places import prepared_upload
from shared.errors import JobFailure
from shared.settings import Settings
from worker.data import prepared, uploads
from worker.data.progress import OnProgress, Progress
from worker.data.sources import obtain, obtaining

EXIT_USAGE, EXIT_FAILED, EXIT_ORPHANED = 2, 4, 5


def prepare(
    info: DatasetInfo, datasets_dir: Path | None, downloads: Path, *, offline: bool, on_progress: OnProgress
) -> Path | None:
    """Prepare a dataset unless it is prepared. Returns the prepared file, or None for a text, which needs none.

    Of several processes one prepares the dataset and the others wait for it. Raises JobFailure.
    """
    with obtaining(info, downloads, on_progress):
        if info.kind == "images" and (ready := _undamaged(info, prepared.find(info, datasets_dir, downloads))):
            return ready
        sources = obtain(info, datasets_dir, downloads, offline=offline, on_progress=on_progress)
        if info.kind != "images":
            return None
        # Imported here: it takes seconds, and is not needed where another process has prepared the dataset.
        from worker.data import readers  # noqa: PLC0415

        on_progress(Progress(stage="preparing", name=info.name))
        path = prepared.path_for(info, sources, downloads)
        folder = Path(str(sources[0]).removesuffix(info.files[0]))
        prepared.write(info, readers.read(info, folder), sources, path)
        return path


def prepare_upload(name: str, upload: Path, downloads: Path, *, on_progress: OnProgress) -> Path:
    """Prepare uploaded images unless they are prepared. upload: their stored form. Raises JobFailure."""
    info = uploads.info_of(name)
    path = prepared_upload(name, sha256_of(upload), downloads)
    with obtaining(info, downloads, on_progress):
        if _undamaged(info, path if path.is_file() else None):
            return path
        # Imported here, as in `prepare`.
        from worker.data import uploaded_images  # noqa: PLC0415

        on_progress(Progress(stage="preparing", name=name))
        prepared.write(info, uploaded_images.read(name, upload), [upload], path)
        return path


def _undamaged(info: DatasetInfo, path: Path | None) -> Path | None:
    """The prepared file if there is an undamaged one; a damaged one is removed."""
    if path is None:
        return None
    try:
        prepared.read(info, path)
    except prepared.Damaged:
        path.unlink()
        return None
    return path


def main(arguments: list[str] | None = None) -> int:
    """Run the program. Returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.supervised:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    report = _Report(_claim_stdout())
    settings = Settings()
    downloads = options.downloads or settings.downloads_path
    if options.upload is not None:
        return report.outcome(
            lambda: prepare_upload(options.name, options.upload, downloads, on_progress=report.progress)
        )
    info = REGISTRY.get(options.name)
    if info is None or info.builtin:
        reason = "is builtin and needs no preparation" if info else "is not a dataset"
        print(f"{options.name} {reason}; datasets are {', '.join(REGISTRY)}", file=sys.stderr)
        return EXIT_USAGE
    datasets_dir = options.datasets_dir or settings.datasets_dir
    offline = options.offline or settings.offline
    return report.outcome(lambda: prepare(info, datasets_dir, downloads, offline=offline, on_progress=report.progress))


class _Report:
    """Reports as plain lines on a terminal, else as JSON."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()

    def outcome(self, work: Callable[[], Path | None]) -> int:
        """Do the work and report its end. Returns the exit status."""
        try:
            path = work()
        except JobFailure as failure:
            self.failed(failure)
            return EXIT_FAILED
        self.prepared(path)
        return 0

    def progress(self, progress: Progress) -> None:
        """Report one step."""
        event = {"type": "progress", "stage": progress.stage, "name": progress.name}
        self._write(str(progress), event | {"done": progress.done, "total": progress.total})

    def prepared(self, path: Path | None) -> None:
        """Report success."""
        where = str(path) if path else None
        self._write(f"Prepared {where}." if where else "Downloaded.", {"type": "prepared", "path": where})

    def failed(self, failure: JobFailure) -> None:
        """Report a failure."""
        text = f"{failure.detail} {failure.hint or ''}".strip()
        event = {"type": "failed", "code": failure.error_code, "message": failure.detail, "hint": failure.hint}
        self._write(text, event)

    def _write(self, text: str, event: dict[str, Any]) -> None:
        self._stream.write((text if self._is_terminal else json.dumps(event)) + "\n")
        self._stream.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker.data.prepare", description="Prepare one dataset.")
    parser.add_argument("name", metavar="NAME", help="a dataset of `mimeo datasets`")
    parser.add_argument("--datasets-dir", type=Path, help="searched first (MIMEO_DATASETS_DIR)")
    parser.add_argument("--downloads", type=Path, help="downloads and prepared files (MIMEO_HOME/datasets)")
    parser.add_argument("--offline", action="store_true", help="download nothing (MIMEO_OFFLINE)")
    parser.add_argument("--upload", type=Path, help="the stored form of uploaded images, instead of the registry's")
    parser.add_argument("--supervised", action="store_true", help="end when standard input closes")
    return parser


def _claim_stdout() -> TextIO:
    """Reserve standard output for the reports; other output of libraries goes to standard error."""
    sys.stdout.flush()
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return reports


def _end_with_stdin() -> None:
    """End when the process that started this one has ended."""
    while os.read(0, 1):  # unbuffered: a thread inside a buffered read aborts the interpreter's shutdown
        pass
    os._exit(EXIT_ORPHANED)


if __name__ == "__main__":
    exit_status = main()
    sys.stderr.flush()
    os._exit(exit_status)  # everything is on disk and reported, and unloading torch takes seconds
