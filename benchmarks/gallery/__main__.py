"""docs/gallery.md from finished runs: `python -m benchmarks.gallery runs/vae runs/acgan runs/lstm`.

Makes the pictures, and writes texts and figures into the page; nothing on it is typed by hand. A run folder comes
from `python -m benchmarks.quality --model-type vae --dataset fashion-mnist --run-dir runs/vae`. Parts of the page whose
run is not named stay as they are.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.gallery import pictures, texts
from benchmarks.gallery.page import Section, fill
from benchmarks.gallery.runs import FinishedRun, UnshowableRun, read
from shared.errors import JobFailure, MimeoError

PAGE = Path(__file__).parents[2] / "docs" / "gallery.md"
SECTIONS: dict[str, Callable[[FinishedRun], Section]] = {
    "vae": pictures.latent_grid,
    "acgan": pictures.digits,
    "lstm": texts.by_epoch,
}


def sections(folders: Sequence[Path]) -> dict[str, Section]:
    """The page's parts by model type. Raises UnshowableRun."""
    made: dict[str, Section] = {}
    for folder in folders:
        run = read(folder)
        name = run.spec.model_type
        if name not in SECTIONS:
            message = f"{folder}: the gallery has no section for `{name}`, only for {', '.join(SECTIONS)}"
            raise UnshowableRun(f"{message}; write one and name it in benchmarks/gallery/__main__.py.")
        if name in made:
            raise UnshowableRun(f"{folder}: another run of `{name}` was named before it; name one of each model type.")
        made[name] = SECTIONS[name](run)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill the page. Returns the exit status: 0 done, 2 nothing written, and why on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gallery", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR", help="folder of a finished run")
    parser.add_argument("--page", type=Path, default=PAGE, help="pictures go into the folder `images` beside it")
    options = parser.parse_args(arguments)
    try:
        written = fill(options.page, sections(options.runs))
    except MimeoError as error:
        hint = f" {error.hint}" if isinstance(error, JobFailure) and error.hint else ""
        print(f"{error.detail}{hint}", file=sys.stderr)
        return 2
    print(*written, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
