"""The final evaluation of a run: which figures are computed, and a notice of those that are not.

docs/decisions/0019-warm-starts.md has the measurements.
"""

from typing import Literal

from worker.models.base import GenerativeModel
from worker.trainer.loop import Loop
from worker.trainer.prepare import Run
from worker.trainer.report import Reporter

Extent = Literal["full", "quick", "none"]


def extent(requested: Literal["auto", "full", "quick", "none"], model: GenerativeModel, steps: int) -> Extent:
    """The extent of the evaluation after a training of `steps` steps.

    `auto` compares examples with examples, not seconds with seconds: the same job has the same figures on any machine.
    """
    if requested != "auto":
        return requested
    return "full" if steps * model.examples_per_step() >= model.quality_cost() else "quick"


def evaluate(run: Run, loop: Loop, reporter: Reporter) -> dict[str, float]:
    """The figures of the current weights. A notice names the figures of the contract that are left out."""
    names = run.spec.contract.quality
    chosen = extent(run.spec.evaluation, run.model, loop.steps)
    if chosen == "full":
        return run.model.final_quality()
    figures = run.model.quick_quality() if chosen == "quick" else {}
    figures = {name: value for name, value in figures.items() if name in names}
    omitted = [name for name in names if name not in figures]
    if omitted:
        reason = " It would take longer than the training." if run.spec.evaluation == "auto" else ""
        message = f"The final evaluation leaves out {', '.join(omitted)}.{reason}"
        hint = "Train with `evaluation: full` for all figures."
        reporter.notice("quality_omitted", message, hint, omitted=omitted)
    return figures
