"""Command-line options that the server's model types define: hyperparameters of `train`, sampling of `generate`."""

import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import typer
from typer.core import TyperCommand

from client.connection import connect
from client.errors import BadInput, ClientError
from client.json_schema import JsonSchema, decode, expected, properties_of, takes_several
from client.schema import ModelType
from client.terminal import printable

SchemaName = Literal["hyperparameters_schema", "sampling_schema"]
_META = "mimeo.served_options"
_PREFIX = "served_"


@dataclass(frozen=True, kw_only=True)
class ServedOption:
    """One property of the schemas, under its own name. schemas: its definition by model type."""

    name: str
    schemas: Mapping[str, JsonSchema]

    @property
    def flags(self) -> tuple[str, ...]:
        """`--n-per-label`; a name of one letter is a short option as well."""
        long = f"--{self.name.replace('_', '-')}"
        return (long, f"-{self.name}") if len(self.name) == 1 else (long,)

    @property
    def help(self) -> str:
        """Help text of the option, with its model types."""
        meanings: dict[str, list[str]] = {}
        for model_type in self.schemas:
            meanings.setdefault(self.meaning(model_type), []).append(model_type)
        return " ".join(f"{meaning} ({', '.join(types)})" for meaning, types in meanings.items())

    def meaning(self, model_type: str) -> str:
        """Help text for one model type: the description of the property, or else its possible values."""
        schema = self.schemas[model_type]
        return printable(str(schema.get("description") or f"{expected(schema).capitalize()}."))

    def value(self, texts: Sequence[str], model_type: str | None) -> Any:
        """The value of the texts. model_type: None where it is unknown. Raises BadInput."""
        schema = self.schemas.get(model_type or "") or {"anyOf": list(self.schemas.values())}
        if len(texts) > 1 and not takes_several(schema):
            raise BadInput(f"{self.flags[0]} is given twice")
        try:
            return decode(texts, schema)
        except ValueError as error:
            raise BadInput(f"{self.flags[0]} {' '.join(texts)}: {error}") from None


@dataclass(frozen=True)
class Given:
    """The served options that a command line gives, as texts."""

    options: Mapping[str, ServedOption] = field(default_factory=dict)
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def values(self, model_type: str | None) -> dict[str, Any]:
        """The values by name. model_type: None where it is unknown. Raises BadInput."""
        known = {name for option in self.options.values() for name in option.schemas}
        if model_type in known:
            own = [option.flags[0] for option in self.options.values() if model_type in option.schemas]
            for name in self.texts:
                if model_type not in self.options[name].schemas:
                    flag = self.options[name].flags[0]
                    raise BadInput(f"{flag}: a model of type {model_type} has no such option; it has {', '.join(own)}")
        return {name: self.options[name].value(texts, model_type) for name, texts in self.texts.items()}


def given(context: typer.Context) -> Given:
    """The served options of the command line."""
    found = context.meta.get(_META)
    return found if isinstance(found, Given) else Given()


def merged(values: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Options and `--set` pairs together. Raises BadInput for a name in both."""
    if twice := sorted(values.keys() & extra.keys()):
        raise BadInput(f"{twice[0]} is given twice: as an option and with --set")
    return {**values, **extra}


class _CommandWithServedOptions(TyperCommand):
    """A command that fetches the model types when a command line needs more than the command's own options."""

    schema: ClassVar[SchemaName]
    panel: ClassVar[str]

    def relevant(self, model_types: list[ModelType], args: Sequence[str]) -> list[ModelType]:  # noqa: ARG002
        """The model types whose options the command line may have."""
        return model_types

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Add the served options, parse, and store their texts for `given`."""
        own = {flag for parameter in self.params for flag in parameter.opts}
        options = self._served(ctx, args, own)
        self.params = [*self.params, *_parameters(options.values(), own, self.panel)]
        rest = super().parse_args(ctx, args)
        typed = {name: ctx.params.pop(f"{_PREFIX}{name}", None) for name in options}
        ctx.meta[_META] = Given(options, {name: texts for name, texts in typed.items() if texts})
        return rest

    def _served(self, ctx: Any, args: list[str], own: set[str]) -> dict[str, ServedOption]:
        """The options of the server's model types, except long names that the command defines itself."""
        unknown = [arg for arg in args if arg.startswith("-") and arg.partition("=")[0] not in own]
        if not unknown:
            return {}
        try:
            with connect(ctx) as client:
                model_types = client.model_types()
        except ClientError:
            if "--help" in unknown:
                return {}
            raise
        options = served_options(self.relevant(model_types, args), self.schema)
        return {name: option for name, option in options.items() if option.flags[0] not in own}


class TrainCommand(_CommandWithServedOptions):
    """`mimeo train`: hyperparameters are options."""

    schema = "hyperparameters_schema"
    panel = "Hyperparameters"

    def relevant(self, model_types: list[ModelType], args: Sequence[str]) -> list[ModelType]:
        """The model type that the command line names, if any."""
        return [each for each in model_types if each["name"] in args] or model_types


class GenerateCommand(_CommandWithServedOptions):
    """`mimeo generate`: sampling parameters are options."""

    schema = "sampling_schema"
    panel = "Sampling"


def served_options(model_types: Iterable[ModelType], schema: SchemaName) -> dict[str, ServedOption]:
    """The options by name, in the order of the schemas."""
    found: dict[str, dict[str, JsonSchema]] = {}
    for model_type in model_types:
        for name, definition in properties_of(model_type[schema]).items():
            found.setdefault(name, {})[model_type["name"]] = definition
    return {name: ServedOption(name=name, schemas=schemas) for name, schemas in found.items()}


def _parameters(options: Iterable[ServedOption], taken: Collection[str], panel: str) -> list[Any]:
    """The options, created by Typer from a function signature. taken: flags with another meaning."""

    def command() -> None: ...

    parameters = []
    for option in options:
        flags = [flag for flag in option.flags if flag not in taken]
        declared = typer.Option(*flags, help=option.help, metavar="VALUE", rich_help_panel=panel)
        annotation = Annotated[list[str] | None, declared]
        parameters.append(
            inspect.Parameter(
                f"{_PREFIX}{option.name}", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
            )
        )
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return [each for each in typer.main.get_command(app).params if (each.name or "").startswith(_PREFIX)]
