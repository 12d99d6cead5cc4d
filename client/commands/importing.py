"""`mimeo import`."""

from pathlib import Path
from typing import Annotated

import typer

from client.connection import JsonOption, connect
from client.errors import BadInput
from client.output import err, line, print_json


def import_model(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A .safetensors file that `mimeo export` wrote.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="A display name.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="The dataset that it was trained on, where the file does not name it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Import a model from a file, to generate from it, export it or train it further."""
    if not file.is_file():
        raise BadInput(f"{file}: the file does not exist")
    with connect(context) as client, err.status(f"Importing {file.name} …"):
        model = client.import_model(file, name=name, dataset=dataset)
    if as_json:
        print_json(model)
    else:
        line(f"{model['id']}  {model['model_type']} on {model['dataset']}")
