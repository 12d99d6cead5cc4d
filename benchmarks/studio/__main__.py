"""Figures of the studio in a real headless Chromium: `python -m benchmarks.studio [PART …]`.

pictures  from an input to the picture that it changes: in the browser, also with networks of the `book` presets, and
          through the API
live      from a worker's write to the drawn point: from a process without other work, and during a training
streams   reads of a job beside 200 open streams, the memory of the API, the answer to one client more
pages     bytes and time of the first view of each page
curves    a curve of 1,000,000 points: first paint after its data, and the finer points of a zoom

Without a PART all are measured, which takes about five minutes. Prints the figures and writes them to
`benchmarks/results/studio.json`; parts that are not measured keep theirs.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from benchmarks.quality import commit, machine
from benchmarks.studio import curves, live, pages, pictures, streams
from tests.studio.conftest import OPTIONS, chromium

RESULTS = Path(__file__).parent.parent / "results" / "studio.json"
PARTS = {
    "pictures": pictures.measure,
    "live": live.measure,
    "streams": streams.measure,
    "pages": pages.measure,
    "curves": curves.measure,
}


def main() -> None:
    """Measure the chosen parts, print and write them."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studio", description=__doc__, formatter_class=form)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file of the figures")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"There is no part {', '.join(sorted(unknown))}. Parts: {', '.join(PARTS)}.")
    results: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
        for name in options.parts or PARTS:
            print(f"{name}:", flush=True)
            measured_on = {"machine": machine(), "commit": commit()}
            results[name] = {**measured_on, "figures": PARTS[name](browser)}
            options.out.write_text(json.dumps(results, indent=1) + "\n")
        browser.close()


if __name__ == "__main__":
    main()
