"""Owners, their use of the queue, their API keys and their browser sessions."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from shared.db.clock import db_now
from shared.db.column_types import KIND
from shared.db.tables.base import OWNER, Base
from shared.job_status import JobKind


class Owner(Base):
    """A tenant: the owner of jobs, models and datasets. Each API key belongs to one."""

    __tablename__ = "owners"

    name: Mapped[str] = mapped_column(OWNER, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=db_now())


class OwnerUse(Base):
    """The time for which workers have held an owner's jobs of a kind, for its fair share of the queue.

    owner: '' for jobs that belong to all owners. used_ms: as of charged_at; it decays (`shared.services.fair_share`).
    """

    __tablename__ = "owner_use"

    owner: Mapped[str] = mapped_column(OWNER, primary_key=True)
    kind: Mapped[JobKind] = mapped_column(KIND, primary_key=True)
    used_ms: Mapped[int] = mapped_column(BigInteger)
    charged_at: Mapped[datetime]


class ApiKey(Base):
    """An API key. The key itself is not stored.

    id: the key's prefix, by which it is found. sha256: of the whole key. scopes: values of `shared.identity.Scope`,
    separated by spaces. expires_at: None is never.
    """

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    owner: Mapped[str] = mapped_column(ForeignKey("owners.name"))
    name: Mapped[str | None] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_api_keys_owner", "owner"),)


class LoginSession(Base):
    """A browser that is logged in with an API key. sha256: of the cookie's value."""

    __tablename__ = "login_sessions"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=db_now())
    expires_at: Mapped[datetime]

    __table_args__ = (Index("ix_login_sessions_key", "key_id"), Index("ix_login_sessions_expires", "expires_at"))
