"""Exports of every model type. A new model type is tested automatically."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from shared import model_types
from shared.errors import JobFailure, SpecError
from tests.fourth_type import MODEL_TYPES
from tests.worker.models.conftest import TYPES_AND_PRESETS, build, train
from worker.checkpoints.local import weights_bytes
from worker.export import load_weights
from worker.export.graph_files import TOLERANCE, GraphFile, write_graphs
from worker.models import GenerativeModel
from worker.models.acgan.sampling import fixed_latents

EACH = pytest.mark.parametrize(("name", "preset"), TYPES_AND_PRESETS)
ROOT = Path(__file__).parents[3]
FACTS = {"model_type": "of the test", "mimeo_version": "1"}


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


class Exported:
    """Models after one training step, and their graphs by part; each is made on first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, str], tuple[GenerativeModel, dict[str, GraphFile]]] = {}

    def __call__(self, name: str, preset: str = "fast") -> tuple[GenerativeModel, dict[str, GraphFile]]:
        if (name, preset) not in self._made:
            folder = self._folder / f"{name}-{preset}"
            folder.mkdir()
            model = build(name, preset)
            train(model, 0, 1)
            files = write_graphs(model.eval(), FACTS, folder)
            self._made[name, preset] = model, {file.name: file for file in files}
        return self._made[name, preset]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return Exported(tmp_path_factory.mktemp("exported"))


@EACH
def test_each_part_of_the_contract_becomes_a_valid_file_that_agrees_with_torch(
    name: str, preset: str, exported: Exported
) -> None:
    _, files = exported(name, preset)

    assert tuple(files) == model_types.get(name).onnx_parts
    for file in files.values():
        onnx.checker.check_model(file.path, full_check=True)
        assert 0 <= file.difference <= 10 * TOLERANCE
        metadata = session(file.path).get_modelmeta().custom_metadata_map
        assert FACTS.items() <= metadata.items()
        graph = onnx.load(file.path).graph
        assert {value.name for value in (*graph.input, *graph.output)} == json.loads(metadata["about"]).keys()
        assert str(ROOT) not in file.path.read_bytes().decode("latin-1")


@pytest.mark.parametrize("name", list(MODEL_TYPES))
def test_equal_models_give_equal_files_and_stay_unchanged(name: str, exported: Exported, tmp_path: Path) -> None:
    model, files = exported(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}

    again = write_graphs(model, FACTS, tmp_path)

    assert [file.path.read_bytes() for file in again] == [file.path.read_bytes() for file in files.values()]
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


@EACH
def test_model_rebuilt_from_exported_weights_generates_the_same(name: str, preset: str, tmp_path: Path) -> None:
    model = build(name, preset).eval()
    path = tmp_path / "model.safetensors"
    path.write_bytes(weights_bytes(name, model.config(), model.state_dict()))

    rebuilt = load_weights(path)

    sampling = model_types.get(name).sampling.validate_python({})
    first, again = (one.generate(sampling, seed=5) for one in (model, rebuilt))
    assert first.texts == again.texts
    assert (first.images is None) == (again.images is None)
    if first.images is not None and again.images is not None:  # rounding may differ in another memory layout
        np.testing.assert_allclose(first.images, again.images, rtol=0, atol=1e-5)


def test_exported_text_model_has_the_logits_of_the_model_at_each_character(exported: Exported) -> None:
    model, files = exported("lstm")
    run = session(files["step"].path)
    vocabulary = run.get_modelmeta().custom_metadata_map["vocabulary"]
    ids = np.array([[vocabulary.index(character)] * 2 for character in "import os"])
    state = {i.name: np.zeros((2, i.shape[1]), np.float32) for i in run.get_inputs()[1:]}

    steps = []
    for ids_B in ids:
        logits, *after = run.run(None, {"ids": ids_B, **state})
        state = dict(zip(state, after, strict=True))
        steps.append(logits)

    assert vocabulary == model.vocabulary
    assert np.allclose(np.stack(steps), model(torch.from_numpy(ids))[0].detach().numpy(), atol=TOLERANCE)


def test_exported_image_model_generates_the_images_of_the_service(exported: Exported) -> None:
    z = np.linspace(-2, 2, 6, dtype=np.float32).reshape(3, 2)
    for name, sampling in (
        ("vae", {"mode": "latent", "z": z.tolist()}),
        ("acgan", {"labels": [3, 7, 3], "n_per_label": 1}),
    ):
        model, files = exported(name)
        parameters = model_types.get(name).sampling.validate_python(sampling)
        expected = model.generate(parameters, seed=5).images
        given = {"z": z}
        if name == "acgan":
            given = {"z": fixed_latents(model, 3, 5).numpy(), "label": np.array([3, 7, 3])}
        found = session(files[model_types.get(name).onnx_parts[0]].path).run(None, given)[0]
        assert expected is not None
        assert np.allclose(found, expected, atol=TOLERANCE)
        assert 0 <= found.min() <= found.max() <= 1


def test_programs_of_the_documentation_run_unchanged(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, part in (("lstm", "step"), ("acgan", "generator")):
        shutil.copy(exported(name)[1][part].path, tmp_path / f"{name}.onnx")
    page = (ROOT / "docs" / "how-to" / "export-models.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)

    outputs = []
    for block in blocks:
        if "onnxruntime" in block:
            exec(compile(block, "docs/how-to/export-models.md", "exec"), {})
            outputs.append(capsys.readouterr().out)

    text, picture = outputs
    assert text.startswith("import ")
    assert len(text) == len("import ") + 200 + 1
    assert len(picture.splitlines()) == 1 + 28


def test_graph_that_computes_other_numbers_is_an_error_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("vae").eval()
    honest = model.onnx_graphs()[0]

    class Inconsistent(torch.nn.Module):
        """Computes other numbers during the export than afterwards."""

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            images: torch.Tensor = honest.network(z)
            return images if torch.compiler.is_exporting() else images + 0.01

    doubtful = Inconsistent()
    doubtful.add_module("honest", honest.network)
    monkeypatch.setattr(model, "onnx_graphs", lambda: [_with(honest, doubtful)])

    with pytest.raises(JobFailure, match="`decoder` does not compute what the model does"):
        write_graphs(model, FACTS, tmp_path)

    assert list(tmp_path.iterdir()) == []


def _with(graph: Any, network: torch.nn.Module) -> Any:
    return type(graph)(**{**vars(graph), "network": network})


def test_file_without_a_model_is_refused_with_its_name(tmp_path: Path) -> None:
    nonsense, unnamed = tmp_path / "nonsense.safetensors", tmp_path / "unnamed.safetensors"
    nonsense.write_bytes(b"not at all")
    unnamed.write_bytes((2).to_bytes(8, "little") + b"{}")

    with pytest.raises(SpecError, match=r"nonsense\.safetensors is not a safetensors file"):
        load_weights(nonsense)
    with pytest.raises(SpecError, match=r"unnamed\.safetensors does not name its model"):
        load_weights(unnamed)
    with pytest.raises(FileNotFoundError):
        load_weights(tmp_path / "nowhere.safetensors")
