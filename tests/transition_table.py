"""The user's actions by status, as docs/decisions/0006 documents them."""

from pathlib import Path

from shared.job_status import JobStatus

[_DECISION] = (Path(__file__).parents[1] / "docs" / "decisions").glob("0006-*.md")
_UNCHANGED, _DELETED = "–", "gone"

# Status after the action; None once the job is deleted.
Moves = dict[JobStatus, JobStatus | None]


def documented() -> dict[str, Moves]:
    """Action → status before → status after. A missing status means that the action is refused."""
    rows = [_cells(line) for line in _DECISION.read_text().splitlines() if line.startswith("|")]
    header, _, *actions = rows
    statuses = [JobStatus(cell) for cell in header[1:]]
    assert set(statuses) == set(JobStatus), "the documented table has one column for each status"
    return {
        action: {before: _after(before, cell) for before, cell in zip(statuses, cells, strict=True) if cell}
        for action, *cells in actions
    }


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _after(before: JobStatus, cell: str) -> JobStatus | None:
    if cell == _DELETED:
        return None
    return before if cell == _UNCHANGED else JobStatus(cell)
