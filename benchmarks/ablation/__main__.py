"""What each choice of a `fast` preset is worth: `python -m benchmarks.ablation lstm`.

Trains the preset for few epochs, then the same with one choice undone at a time, and writes ablation-MODEL_TYPE.json
and ablation-MODEL_TYPE.md into benchmarks/results, anew after every run: a broken-off ablation leaves what it found,
and goes on there when it is started again. Progress goes to standard error, the table to standard output.

Steps are counted and not seconds, and every run computes in the same precision: what a row shows of quality does not
depend on what else the machine does, nor on how many runs go on at once. Its seconds do.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from benchmarks import quality
from benchmarks.ablation import plan as plans
from benchmarks.ablation.choices import ABLATIONS
from benchmarks.ablation.plan import Plan, Row
from benchmarks.ablation.results import OtherSettingsError, Results
from shared import model_types
from shared.errors import SpecError

RESULTS = Path(__file__).parents[1] / "results"
INTERRUPTED = 130


def ablate(results: Results, wanted: list[tuple[Row, int]], *, at_once: int) -> None:
    """Make these runs, so many at a time, and take each into the results when it ends."""

    def run(row: Row, seed: int) -> None:
        with TemporaryDirectory(prefix="mimeo-ablation-") as temporary:
            folder = Path(temporary)
            spec, about = results.plan.spec(row, seed), f"{row.name}, seed {seed}:"
            record = quality.measure(spec, folder / "run", folder / "record.json", about=about)
        results.take(row, seed, record, at_once=at_once)

    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(run, row, seed) for row, seed in wanted]
        try:
            for future in as_completed(futures):
                future.result()
        finally:  # interrupted: the trainers have the signal too and stop by themselves; no other is started
            pool.shutdown(cancel_futures=True)


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing and print the table. 0 where every run that was asked for has finished."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        plan = _plan(options)
        results = Results(options.results / f"ablation-{options.model_type}.json", plan, again=options.again)
    except (SpecError, ValidationError) as error:
        parser.error(str(error))
    except OtherSettingsError as error:
        parser.error(f"{error}: begin --again, or choose another folder of --results")
    names = options.only or ABLATIONS[options.model_type].names
    unknown = set(names) - set(ABLATIONS[options.model_type].names)
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}: {', '.join(ABLATIONS[options.model_type].names)}")
    asked = [(row, seed) for seed in range(options.seeds) for row in plan.rows if row.name in names]
    wanted = [run for run in asked if options.again or not results.has(*run)]
    print(f"{len(wanted)} of {len(asked)} runs to make", file=sys.stderr, flush=True)
    try:
        ablate(results, wanted, at_once=options.at_once)
    except KeyboardInterrupt:
        return INTERRUPTED
    print(results.page())
    return 0 if all(results.has(*run) for run in asked) else 1


def _plan(options: argparse.Namespace) -> Plan:
    overrides: dict[str, Any] = dict(options.set)
    if options.epochs is not None:
        overrides["epochs"] = options.epochs
    return plans.make(
        options.model_type,
        overrides,
        dataset=options.dataset or model_types.get(options.model_type).default_dataset,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model_type", choices=list(ABLATIONS))
    parser.add_argument("--dataset", help="the model type's own when left out")
    parser.add_argument("--epochs", type=int, help="3 of the LSTM and the ACGAN, 8 of the VAE when left out")
    parser.add_argument(
        "--set",
        type=quality.setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="hyperparameter of every row, but of those that undo it",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these rows, of which `full` is the preset itself")
    parser.add_argument("--again", action="store_true", help="make runs anew that are there already")
    parser.add_argument("--seeds", type=_count, default=1, help="runs of each row; their seeds are 0, 1, …")
    parser.add_argument("--at-once", type=_count, default=1, help="runs at a time")
    parser.add_argument("--threads", type=_count, default=1, help="of each run")
    # `auto` would time both precisions before each run, and rows that computed in different ones do not compare.
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON and the table")
    return parser


def _count(text: str) -> int:
    """A whole number from 1 up."""
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


if __name__ == "__main__":
    sys.exit(main())
