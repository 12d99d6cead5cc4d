"""`mimeo storage` and `mimeo prune`."""

from typing import Annotated

import typer

from client.connection import JsonOption, connect
from client.formatting import size
from client.output import facts, print_json, remark, table


def storage(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the free space of the server's disk, and the space that each kind of file takes."""
    with connect(context) as client:
        space = client.storage()
    if as_json:
        print_json(space)
        return
    free = "no local disk" if space["free"] is None else f"{size(space['free'])} of {size(space['total'] or 0)}"
    facts([("free", free), ("kept free", size(space["min_free"]))])
    table(("files", "size"), [(kind, size(count)) for kind, count in sorted(space["used"].items())])


def prune(  # noqa: PLR0917  typer passes them by name
    context: typer.Context,
    older_than_days: Annotated[float, typer.Option(min=0, help="Only jobs that ended so many days ago.")] = 30,
    kind: Annotated[
        str, typer.Option(help="jobs, or only files of jobs that stay: checkpoints, samples or event_files.")
    ] = "jobs",
    status: Annotated[
        list[str] | None, typer.Option(help="Only jobs that are succeeded, failed or cancelled; repeatable.")
    ] = None,
    keep_last: Annotated[int, typer.Option(min=0, help="Newest files that each job keeps.")] = 1,
    models: Annotated[bool, typer.Option("--models", help="Also jobs that published a model, with the model.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the jobs and delete nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete ended jobs with their history and files, or files alone. This cannot be undone; try --dry-run first."""
    count = files = freed = 0
    with connect(context) as client:
        while True:
            pruned = client.prune(
                older_than_days=older_than_days,
                models=models,
                dry_run=dry_run,
                kind=kind,
                status=status or (),
                keep_last=keep_last,
            )
            count, freed = count + len(pruned["jobs"]), freed + pruned["size"]
            files += sum(job["files"] or 0 for job in pruned["jobs"])
            if as_json:
                for job in pruned["jobs"]:
                    print_json(job)
            elif dry_run:
                rows = [(job["id"], job["status"], size(job["size"])) for job in pruned["jobs"]]
                table(("id", "status", "size"), rows)
            if dry_run or not pruned["has_more"]:
                break
    if not as_json:
        what = f"{count} jobs" if kind == "jobs" else f"{files} files of {count} jobs"
        remark(f"{what}, {size(freed)}{' would be' if dry_run else ''} removed.")
        if pruned["has_more"]:
            remark("There are more.")
