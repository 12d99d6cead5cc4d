"""What is kept of a measurement of the whole service."""

import json
from pathlib import Path
from typing import Any

from benchmarks.quality import commit, machine
from shared.db.session import sqlite


def about() -> dict[str, Any]:
    """What the figures are taken on; call it before the work, whose own load would count."""
    return {"machine": machine(), "commit": commit(), "sqlite": sqlite.sqlite_version}


def keep(out: Path, record: dict[str, Any]) -> None:
    """Write the record in the place of the one before, and print it."""
    text = json.dumps(record, indent=1)
    out.write_text(f"{text}\n")
    print(text)
