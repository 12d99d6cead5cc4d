"""A model's weights as one safetensors file that says how to rebuild the model: made without torch, while it is sent.

The tensors' bytes are those of the checkpoint. Only the header changes: 8 bytes of its length, little-endian, then
JSON (https://huggingface.co/docs/safetensors), whose `__metadata__` holds strings alone.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

from shared.db.tables import Model
from shared.errors import Damaged
from shared.exports import origin

HOW_TO_LOAD = (
    "In Mimeo: `from worker.export import load_weights; model = load_weights(path)`. Elsewhere: `config` is the JSON "
    "that gives the layers' sizes; the tensors are the state dict of a torch.nn.Module."
)
_LENGTH_BYTES = 8
_LONGEST_HEADER = 16 << 20
_CHUNK = 1 << 20
_ALIGNMENT = 8


class WeightsFile:
    """The weights of a model, open and checked. Iterate for its bytes; close the stream afterwards.

    size: bytes in all. etag: changes when the bytes would; equal models give equal bytes. Raises Damaged, and nothing
    has been sent then: every byte was compared with the checkpoint's sha256.
    """

    def __init__(self, stream: IO[bytes], model: Model) -> None:
        self._stream = stream
        if _sha256(stream) != model.checkpoint.sha256:
            raise Damaged(f"The weights of {model.id} in storage have changed since they were written.")
        stream.seek(0)
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        if length > _LONGEST_HEADER:
            raise Damaged(f"The weights of {model.id} in storage are no safetensors file.")
        header = json.loads(stream.read(length))
        tensors = sum(entry["data_offsets"][1] - entry["data_offsets"][0] for entry in _entries(header).values())
        self._start = _header({"__metadata__": _metadata(header, model), **_entries(header)})
        self.size = len(self._start) + tensors
        self.etag = hashlib.sha256(self._start + model.checkpoint.sha256.encode()).hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        yield self._start
        while chunk := self._stream.read(_CHUNK):
            yield chunk


def _metadata(header: Mapping[str, Any], model: Model) -> dict[str, str]:
    about = json.loads(header["__metadata__"]["mimeo"])
    told = {
        "format": "pt",  # what other readers of safetensors look for: torch's names and layouts
        "config": json.dumps(about["config"], sort_keys=True),
        "model_id": model.id,
        "how_to_load": HOW_TO_LOAD,
        **origin(
            model_type=about["model_type"],
            dataset=model.dataset,
            checkpoint_sha256=model.checkpoint.sha256,
            versions=model.versions,
        ),
    }
    return dict(sorted(told.items()))


def _entries(header: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def _header(content: Mapping[str, Any]) -> bytes:
    """Length and JSON, padded with spaces so that the tensors stay aligned."""
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
