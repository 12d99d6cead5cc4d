"""Identities in responses."""

from typing import Literal

from pydantic import Field

from api.schemas.base import Answer, Time
from shared.identity import Scope


class Session(Answer):
    """The identity of a request."""

    object: Literal["session"] = "session"
    auth: Literal["off", "required"] = Field(description="`off`: requests need no API key and act as `local`.")
    owner: str = Field(description="Whose jobs, models and datasets the request sees.")
    scopes: list[Scope]
    key: str | None = Field(description="Id of the API key; null while authentication is off.")
    expires_at: Time | None = Field(description="End of the key; null where it does not expire.")
