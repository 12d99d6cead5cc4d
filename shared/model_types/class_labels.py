"""Labels of a request that name classes, as the numbers of a trained model's classes."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StringConstraints

from shared.errors import MAX_ERRORS, FieldError, SpecError
from shared.spec_errors import nearest

MAX_NAME = 32  # characters; the longest name of a class in the registry has 13

Label = Annotated[int, Field(ge=0, le=9999)]
ClassName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)]


def numbers(labels: Sequence[int | str], class_names: Sequence[str] | None) -> list[int]:
    """The numbers of labels. A name is that of a class or of one of the classes merged into it (`a / b`).

    class_names: in the order of the labels; None when they are not known. Raises SpecError with a pointer to each
    unknown name under `/sampling/labels`.
    """
    known = _by_name(class_names or ())
    errors: list[FieldError] = []
    found: list[int] = []
    unknown = 0
    for position, label in enumerate(labels):
        number = label if isinstance(label, int) else known.get(label.casefold())
        if number is not None:
            found.append(number)
            continue
        unknown += 1
        if unknown <= MAX_ERRORS:
            pointer = f"/sampling/labels/{position}"
            errors.append(FieldError(pointer=pointer, detail=_unknown(str(label), class_names), code="unknown"))
    if errors:
        raise SpecError.of(errors, total=unknown)
    return found


def _by_name(class_names: Sequence[str]) -> dict[str, int]:
    """Numbers by folded name. A whole name precedes the name of a merged class."""
    merged = {
        part.casefold(): number for number, name in reversed(list(enumerate(class_names))) for part in name.split(" / ")
    }
    return merged | {name.casefold(): number for number, name in enumerate(class_names)}


def _unknown(name: str, class_names: Sequence[str] | None) -> str:
    if class_names is None:
        return "The names of this model's classes are not known; give their numbers."
    advice = nearest(name, class_names) if "Did you mean" in nearest(name, class_names) else ""
    return f'This model has no class "{name}".{advice} Valid: {", ".join(class_names)}.'
