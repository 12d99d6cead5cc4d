"""What is to be run: the rows of one ablation as specifications of the trainer, checked against the contract."""

from dataclasses import dataclass
from typing import Any

from benchmarks.ablation.choices import ABLATIONS, FULL, Values
from shared import datasets, model_types
from shared.errors import SpecError
from shared.model_types import ModelType
from worker.trainer.spec import TrainerSpec


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row. instead: hyperparameters that differ from the full preset's, as JSON. note: for readers of the table."""

    name: str
    chosen: str
    instead: Values
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All rows of one ablation, and what they have in common.

    settings: whatever decides the figures beside the row and the seed, as JSON. Rows of other settings do not compare.
    """

    contract: ModelType
    settings: dict[str, Any]
    rows: tuple[Row, ...]

    def spec(self, row: Row, seed: int) -> dict[str, Any]:
        """The trainer's specification of one run."""
        return _spec(self.contract.name, self.settings, row.instead, seed)


def make(model_type: str, overrides: Values, **common: Any) -> Plan:
    """The ablation of a model type's `fast` preset with some hyperparameters overridden in every row.

    common: `dataset`, `device`, `precision`, `threads`, as the trainer takes them. Raises SpecError where the contract
    refuses a row.
    """
    ablation, contract = ABLATIONS[model_type], model_types.get(model_type)
    settings = {"preset": "fast", **common, "hyperparameters": {"epochs": ablation.epochs, **overrides}}
    full = _checked(contract, _spec(model_type, settings, {}, 0))
    settings["hyperparameters"] = full.model_dump(mode="json")
    rows = [Row(name=FULL, chosen="the preset", instead={})]
    for choice in ablation.choices:
        row = Row(name=choice.name, chosen=choice.chosen, instead=choice.undone(full), note=choice.note)
        _checked(contract, _spec(model_type, settings, row.instead, 0))
        rows.append(row)
    return Plan(contract=contract, settings=settings, rows=tuple(rows))


def _spec(model_type: str, settings: dict[str, Any], instead: Values, seed: int) -> dict[str, Any]:
    hyperparameters = {**settings["hyperparameters"], **instead}
    return {"model_type": model_type, **settings, "hyperparameters": hyperparameters, "seed": seed}


def _checked(contract: ModelType, spec: dict[str, Any]) -> Any:
    """The run's hyperparameters, all of them. Raises SpecError."""
    hyperparameters = TrainerSpec.model_validate(spec).resolved_hyperparameters()
    known = {name: info for name, info in datasets.REGISTRY.items() if info.kind == contract.data_kind}
    if spec["dataset"] not in known:
        detail = f"{contract.name} learns from {contract.data_kind}: take one of {', '.join(known)}."
        raise SpecError.at("/dataset", detail, "unknown")
    contract.check_training(hyperparameters, known[spec["dataset"]].shape)
    return hyperparameters
