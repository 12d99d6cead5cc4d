"""Contracts of model types as API resources."""

from collections.abc import Mapping
from functools import cache

from api.schemas.resources import Bands, Demo, MeasureDocs, ModelType, Preset
from shared.model_types import Measure
from shared.model_types import ModelType as Contract


@cache
def listed(contract: Contract) -> ModelType:
    """The resource of one model type, computed once."""
    return ModelType(
        name=contract.name,
        title=contract.title,
        summary=contract.summary,
        data_kind=contract.data_kind,
        default_dataset=contract.default_dataset,
        needs_labels=contract.needs_labels,
        formats=list(contract.formats),
        onnx_parts=list(contract.onnx_parts),
        metrics=list(contract.metrics),
        metric_docs=_docs(contract.metrics),
        quality=list(contract.quality),
        quality_docs=_docs(contract.quality),
        presets=[
            Preset(name=preset, hyperparameters=contract.resolve(preset, {}).model_dump(mode="json"))
            for preset in contract.presets
        ],
        hyperparameters_schema=contract.hyperparameters.model_json_schema(),
        sampling_schema=contract.sampling.json_schema(),
        demo=Demo(
            fallback_dataset=contract.fallback_dataset,
            hyperparameters=dict(contract.demo),
            sampling=dict(contract.demo_sampling),
        ),
    )


def _docs(measures: Mapping[str, Measure]) -> list[MeasureDocs]:
    return [
        MeasureDocs(
            name=name,
            meaning=measure.meaning,
            better=measure.better,
            is_headline=measure.is_headline,
            bands=Bands(good=measure.bands[0], usual=measure.bands[1]) if measure.bands else None,
        )
        for name, measure in measures.items()
    ]
