"""RFC 9457 problem details."""

from pydantic import Field

from api.schemas.base import Answer


class ProblemError(Answer):
    """One invalid field."""

    pointer: str = Field(
        description="RFC 6901 pointer into the body (`/hyperparameters/epochs`), `?name` of a query parameter, or the "
        "name of a header."
    )
    detail: str
    code: str


class Problem(Answer):
    """The error of a request (RFC 9457)."""

    type: str = Field("about:blank", description="Always `about:blank`: `code` names the problem.")
    title: str = Field(description="The meaning of the status.")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="The error and its remedy.")
    code: str = Field(description="Identifier of the problem, for programs.")
    instance: str = Field(description="Id of the request, as in the server's log.")
    errors: list[ProblemError] = Field([], description="The first 50 invalid fields; `detail` counts more.")
