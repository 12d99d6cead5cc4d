"""Checks a model file (safetensors) without torch: everything that could prevent its use is refused here.

Format: 8 bytes with the length of the header, the header (JSON: dtype, shape and place of each tensor), the tensors.
The header's `__metadata__` has the key `mimeo`: JSON with `model_type` and `config`, and of newer files `dataset`.
https://github.com/huggingface/safetensors#format
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import IO, Any, NoReturn

from shared import model_types
from shared.errors import SpecError
from shared.model_types import ModelType
from shared.model_types.weight_shapes import COUNTER, FILE, SHAPES

MAX_HEADER_BYTES = 4 << 20
_PIECE_BYTES = 1 << 20
_MOST_QUALITY = 100

# By dtype: bytes of a number; the offset of its high byte and which of its values have an exponent of ones; the same of
# the next byte, where the exponent does not end with the high one. Numbers are little-endian.
_ONES_7 = bytes(value & 0x7F == 0x7F for value in range(256))
_ONES_5 = bytes(value & 0x7C == 0x7C for value in range(256))
_TOP_BIT = bytes(value >> 7 for value in range(256))
_FLOATS: Mapping[str, tuple[int, bytes, bytes | None]] = {
    "F32": (4, _ONES_7, _TOP_BIT),
    "BF16": (2, _ONES_7, _TOP_BIT),
    "F16": (2, _ONES_5, None),
}
_COUNTERS = {"I64": 8}


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A checked file. config: with all hyperparameters. about: further values of the file's origin, as it says."""

    model_type: ModelType
    config: Mapping[str, Any]
    hyperparameters: Mapping[str, Any]
    dataset: str | None
    name: str | None
    quality: Mapping[str, float]
    step: int
    size: int
    sha256: str
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Tensor:
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def check(file: IO[bytes]) -> ModelFile:
    """Read a file to its end. Raises SpecError for a file that is not a model of Mimeo, or not one that can be used."""
    file.seek(0, 2)
    size = file.tell()
    file.seek(0)
    digest = hashlib.sha256()
    header = _read_header(file, size, digest.update)
    about = _about(header.pop("__metadata__", None))
    contract = _contract(about)
    config = about.get("config")
    if not isinstance(config, dict):
        raise _refused("The file's metadata lacks the `config` of its model.", "invalid_config")
    expected = SHAPES[contract.name](config)
    tensors = _tensors(header)
    _compare(tensors, expected, contract)
    _check_places(tensors, size - file.tell())
    for tensor in tensors:
        _check_finite(tensor, file, digest.update)
    hyperparameters = contract.hyperparameters.model_validate(config["hyperparameters"]).model_dump(mode="json")
    return ModelFile(
        model_type=contract,
        config={**config, "hyperparameters": hyperparameters},
        hyperparameters=hyperparameters,
        dataset=_text(about, "dataset", 100),
        name=_text(about, "name", 200),
        quality=_quality(about, contract),
        step=_count(about.get("step")),
        size=size,
        sha256=digest.hexdigest(),
        about={name: about[name] for name in ("license", "training", "versions") if name in about},
    )


def _refused(detail: str, code: str = "invalid_file") -> SpecError:
    return SpecError.at(FILE, detail, code)


# --- the header -------------------------------------------------------------------------------------------------


def _read_header(file: IO[bytes], size: int, update: Callable[[bytes], object]) -> dict[str, Any]:
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if not 2 <= length <= size - 8:
        if prefix[:2] == b"PK" or prefix[:1] == b"\x80":
            detail = "This is a pickle, as torch.save writes; it could run code and is not read. Send safetensors."
            raise _refused(detail, "pickle")
        raise _refused("This is not a complete safetensors file; send one that `mimeo export` wrote.")
    if length > MAX_HEADER_BYTES:
        raise _refused(f"The file's header is larger than {MAX_HEADER_BYTES:,} bytes.")
    data = file.read(length)
    update(prefix + data)
    header = _object(data, "header", parse_int=_size) if data[:1] == b"{" else None
    if header is None:
        raise _refused("This is not a safetensors file; send one that `mimeo export` wrote.")
    return header


def _object(data: bytes | str, what: str, parse_int: Callable[[str], int] = int) -> dict[str, Any]:
    """A JSON object as the readers of the file accept it: UTF-8, no name twice, no NaN, no unpaired surrogate."""
    try:
        text = data if isinstance(data, str) else data.decode()
        value = json.loads(text, parse_int=parse_int, parse_constant=_no_constant, object_pairs_hook=_unique)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise _refused(f"The file's {what} is not valid JSON: the file is damaged.") from None
    if not isinstance(value, dict):
        raise _refused(f"The file's {what} is not an object: the file is damaged.")
    return value


def _size(digits: str) -> int:
    if digits.startswith("-"):  # the readers of the file refuse -0 as well
        raise ValueError(digits)
    return int(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name is given twice")
    return values


def _about(metadata: Any) -> dict[str, Any]:
    """What the metadata says of the model; in files of earlier versions it has two keys."""
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _refused("The file's metadata is not an object of texts: the file is damaged.")
    if "mimeo" in metadata:
        return _object(metadata["mimeo"], "metadata `mimeo`")
    if {"model_type", "config"} <= metadata.keys():
        return {"model_type": metadata["model_type"], "config": _object(metadata["config"], "metadata `config`")}
    raise _refused(
        "The file's metadata does not name a model of Mimeo: send a file that `mimeo export` wrote.", "foreign"
    )


def _contract(about: Mapping[str, Any]) -> ModelType:
    name = about.get("model_type")
    if not isinstance(name, str) or name not in model_types.REGISTRY or name not in SHAPES:
        known = ", ".join(name for name in model_types.REGISTRY if name in SHAPES)
        raise _refused(f"This version imports models of the types {known}; the file has none of them.", "unknown")
    return model_types.REGISTRY[name]


def _text(about: Mapping[str, Any], name: str, longest: int) -> str | None:
    value = about.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= longest and "\x00" not in value else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 60 else 0


def _quality(about: Mapping[str, Any], contract: ModelType) -> dict[str, float]:
    """Figures that the model type has; others, and values that are no numbers, are left out."""
    given = about.get("quality")
    numbers = {name: given[name] for name in contract.quality if name in given} if isinstance(given, dict) else {}
    return {name: float(value) for name, value in numbers.items() if type(value) in {int, float} and isfinite(value)}


# --- the tensors ------------------------------------------------------------------------------------------------


def _tensors(header: Mapping[str, Any]) -> list[_Tensor]:
    """The tensors in the order of their places."""
    found = []
    for name, entry in header.items():
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise _refused(f"The header's entry of {name[:100]!r} is not one of a tensor: the file is damaged.")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        sound = isinstance(dtype, str) and _are_sizes(shape) and _are_sizes(offsets) and len(offsets) == 2
        if not sound:
            raise _refused(f"The header's entry of {name[:100]!r} is not one of a tensor: the file is damaged.")
        found.append(_Tensor(name=name, dtype=dtype, shape=tuple(shape), begin=offsets[0], end=offsets[1]))
    return sorted(found, key=lambda tensor: (tensor.begin, tensor.end))


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 48 for value in values)


def _compare(tensors: list[_Tensor], expected: Mapping[str, tuple[int, ...]], contract: ModelType) -> None:
    """Names, shapes and dtypes are those of the model."""
    found = {tensor.name: tensor for tensor in tensors}
    for name in [*expected, *(name for name in found if name not in expected)]:
        here = str(list(found[name].shape)) if name in found else "missing"
        there = str(list(expected[name])) if name in expected else "no tensor of this model"
        if here != there:
            detail = f"The tensors are not those of this {contract.name}: {name[:100]} is {here}, expected: {there}."
            raise _refused(detail, "wrong_shape")
        permitted = _COUNTERS if name.endswith(COUNTER) else _FLOATS
        if found[name].dtype not in permitted:
            detail = f"{name[:100]} has numbers of the type {found[name].dtype[:20]}; expected: {', '.join(permitted)}."
            raise _refused(detail, "wrong_type")


def _check_places(tensors: list[_Tensor], rest: int) -> None:
    """The tensors follow each other without a gap and fill the file."""
    place = 0
    for tensor in tensors:
        length = prod(tensor.shape) * (_COUNTERS.get(tensor.dtype) or _FLOATS[tensor.dtype][0])
        if (tensor.begin, tensor.end) != (place, place + length):
            raise _refused(f"The place of {tensor.name[:100]} does not agree with its shape: the file is damaged.")
        place = tensor.end
    if place != rest:
        state = "cut off" if rest < place else "longer than its tensors"
        raise _refused(f"The file is {state}: it has {rest:,} bytes of tensors instead of {place:,}.", "wrong_size")


def _check_finite(tensor: _Tensor, file: IO[bytes], update: Callable[[bytes], object]) -> None:
    """Read a tensor. Raises SpecError for NaN and infinity, which have an exponent of ones."""
    left = tensor.end - tensor.begin
    while left:
        piece = file.read(min(left, _PIECE_BYTES))  # pieces end between numbers
        left -= len(piece)
        update(piece)
        if tensor.dtype in _FLOATS and _has_ones(piece, *_FLOATS[tensor.dtype]):
            raise _refused(
                f"{tensor.name[:100]} has values that are not finite, so nothing can be drawn.", "not_finite"
            )


def _has_ones(piece: bytes, width: int, high: bytes, following: bytes | None) -> bool:
    """Whether a number has an exponent of ones. The bytes of all numbers are compared at once."""
    first = piece[width - 1 :: width].translate(high)
    if following is None:
        return b"\x01" in first
    second = piece[width - 2 :: width].translate(following)
    return bool(int.from_bytes(first, "big") & int.from_bytes(second, "big"))
