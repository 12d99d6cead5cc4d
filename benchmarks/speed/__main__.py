"""Mimeo's steps and samples beside plain PyTorch and Keras, in turn, in one run: `make bench`.

`python -m benchmarks.speed --keras .venv-keras/bin/python` writes bench.json, bench.md and bench.png into
benchmarks/results; `--quick` runs everything once on small models, as a test of the benchmark. Processors only:
benchmarks/gpu_check.py times a GPU.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.speed import baselines_torch, ceiling, keras_child, ours, plot, report
from benchmarks.speed.bench_data import BenchData
from benchmarks.speed.cases import CASES, Case
from benchmarks.speed.implementations import BenchContext, Implementation, LeftOutError
from benchmarks.speed.measuring import FULL, QUICK, Plan, measure
from shared.settings import Settings
from worker import device

RESULTS = Path(__file__).parents[1] / "results"


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run all cases; returns the results as JSON. An interrupted run keeps the results of its finished cases."""
    began = time.monotonic()
    threads = device.choose_threads(options.threads)
    results: dict[str, Any] = {"machine": report.machine(threads)}
    ours.set_up(threads)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mimeo-bench-")))
        data = BenchData.at_hand(Settings(), builtin=options.quick)
        context = BenchContext(data=data, folder=folder, threads=threads)
        keras: keras_child.Keras | str = _no_keras(options.keras)
        versions = ours.versions()
        if not keras:
            keras = stack.enter_context(keras_child.started(options.keras, context))
            try:
                versions |= {name: v for name, v in keras.ask(do="versions").items() if name in {"keras", "tensorflow"}}
            except LeftOutError as reason:
                keras = str(reason)
        implementations = (*ours.IMPLEMENTATIONS, *baselines_torch.IMPLEMENTATIONS, *keras_child.implementations(keras))
        chosen = [case for case in CASES if not options.cases or case.name in options.cases]
        cases = [case.small() if options.quick else case for case in chosen]
        plan = QUICK if options.quick else FULL
        command = "make bench" + (" KERAS=0" if options.keras is None else "")
        results |= {"versions": versions, "datasets": data.names, "command": command, "cases": {}}
        for name, found in _measured(cases, implementations, context, plan):
            results["cases"][name] = found
            results["seconds"] = time.monotonic() - began
            _write(results, options.results)
            print(f"{found['title']}: done after {results['seconds']:.0f} s", flush=True)
            if results["seconds"] > options.seconds:
                break
    return results


def _no_keras(python: Path | None) -> str:
    """The reason why there is no Keras, or None."""
    if python is None:
        return "left out: KERAS=0"
    return "" if python.is_file() else f"not installed: {python} is missing"


def _measured(
    cases: list[Case], implementations: tuple[Implementation, ...], context: BenchContext, plan: Plan
) -> Iterator[tuple[str, dict[str, Any]]]:
    products = ceiling.products(plan.product)
    vocabulary = len(context.data.text.vocabulary)
    for case in cases:
        yield case.name, report.figures(measure(case, implementations, context, products, plan), vocabulary)


def _write(results: dict[str, Any], folder: Path) -> None:
    """Figures, table and picture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "bench.md").write_text(report.markdown(results))
    plot.draw(results, folder / "bench.png")


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keras", type=Path, metavar="PYTHON", help="of an environment with Keras; left out: no Keras")
    parser.add_argument("--quick", action="store_true", help="tiny models and counts: figures mean nothing")
    parser.add_argument("--threads", type=int, help="threads of each implementation (default: the machine's cores)")
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES], help="only these")
    parser.add_argument("--seconds", type=float, default=330, help="no case starts after so many seconds")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    results = run(options)
    print(report.markdown(results))


if __name__ == "__main__":
    main()
