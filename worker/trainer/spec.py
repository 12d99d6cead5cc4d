"""The specification of one run: SPEC.json, checked and completed."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared import model_types
from shared.errors import SpecError
from shared.model_types import ModelType
from shared.specs import MAX_SEED, Evaluation, nearest, spec_error
from worker.checkpoints.manifest import with_backend


class TrainerSpec(BaseModel):
    """Model type, dataset and settings of one run. Only `model_type` is required.

    dataset: a registry name; the model type's default when null. dataset_path: file of an uploaded text. init_from: a
    checkpoint folder with the starting weights. threads: of torch; the available cores when null.
    batch_parts: into which a step splits its batch, to need less memory; a run that continues has its own at least.
    precision, backend: `auto` applies the rule of `backend_choice`. evaluation: `auto` applies that of `quality`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model_type: str
    dataset: str | None = None
    preset: str = "fast"
    hyperparameters: dict[str, Any] = {}
    seed: int = Field(0, ge=0, le=MAX_SEED)
    dataset_path: Path | None = None
    init_from: Path | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    backend: Literal["auto", "eager", "cuda_graph"] = "auto"
    threads: int | None = Field(None, ge=1, le=1024)
    batch_parts: int = Field(1, ge=1, le=2)
    checkpoint_every_s: float = Field(30.0, gt=0)
    evaluation: Evaluation = "auto"
    keep_checkpoints: int = Field(2, ge=1, le=1000)

    @model_validator(mode="before")
    @classmethod
    def _read_earlier_backend(cls, values: Any) -> Any:
        return with_backend(values)

    @property
    def contract(self) -> ModelType:
        """The model type's contract."""
        return model_types.get(self.model_type)

    @property
    def dataset_name(self) -> str:
        """The dataset, with the default filled in."""
        return self.dataset or self.contract.default_dataset

    def resolved_hyperparameters(self) -> Any:
        """All hyperparameters, as the model type's own pydantic model. Raises SpecError."""
        contract = self.contract
        if self.preset not in contract.presets:
            known = nearest(self.preset, contract.presets)
            raise SpecError.at("/preset", f"{contract.name} has no preset `{self.preset}`.{known}", "unknown")
        try:
            return contract.resolve(self.preset, self.hyperparameters)
        except ValidationError as error:
            raise spec_error(error, "/hyperparameters", model=contract.hyperparameters) from None

    def completed(self) -> "TrainerSpec":
        """The same with every hyperparameter and the dataset written out. Raises SpecError."""
        resolved = self.resolved_hyperparameters()
        if self.batch_parts > 1 and not self.contract.batch_can_be_split(resolved):
            detail = f"A step of this {self.model_type} needs its whole batch at once; use 1."
            raise SpecError.at("/batch_parts", detail, "not_separable")
        hyperparameters = resolved.model_dump(mode="json")
        return self.model_copy(update={"hyperparameters": hyperparameters, "dataset": self.dataset_name})


def read(path: Path) -> TrainerSpec:
    """The specification in a file, completed. Raises SpecError with one line that names the field."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SpecError(f"cannot be read: {reason}") from error
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    try:
        return TrainerSpec.model_validate(body).completed()
    except ValidationError as error:
        raise spec_error(error, model=TrainerSpec) from None
