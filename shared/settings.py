"""Every setting of Mimeo. The `MIMEO_*` variables are read once, into a frozen object that is passed on."""

import hashlib
import os
import socket
from collections.abc import Collection
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import AfterValidator, Field, PrivateAttr, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.addresses import HostNames, Listed, Origins, PublicUrl
from shared.errors import SetupError
from shared.placement import MOST_LABELS, checked_label
from shared.secret_files import read_secret, with_password
from shared.webhooks import signing
from shared.webhooks.targets import allowed_target

Bytes = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
# Bytes of the longest path of `redis.sock` with which `supervisord.sock.PID` in its folder fits macOS's 103.
MAX_SOCKET_PATH = 88
_RENAMED = {"MIMEO_HINT_STALE_S": "MIMEO_NOTIFICATION_STALE_S", "MIMEO_DEAF_S": "MIMEO_CONSUMER_STALL_S"}


class Settings(BaseSettings):
    """The configuration of one process. The field `lease_s` is the variable `MIMEO_LEASE_S`, for example.

    Raises SetupError where a variable that was renamed is set under its old name.
    """

    model_config = SettingsConfigDict(env_prefix="MIMEO_", frozen=True, extra="ignore")

    home: Path = Field(Path(".mimeo"), description="Folder of the database, files, sockets and logs of this stack.")
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the API listens on.")
    auth: Literal["off", "required"] = Field(
        "off", description="`required`: requests need an API key. `off`: the API must listen on a loopback address."
    )
    public_url: PublicUrl = Field(
        None, description="Address of the API for users, when a proxy changes it; may have a path."
    )
    allowed_hosts: HostNames = Field(
        (), description="Further host names of this server, such as `gpu-box,.example.org`; `*` allows every name."
    )
    cors_origins: Origins = Field(
        (), description="Origins of web pages that may use the API, such as `http://localhost:3000`."
    )
    trusted_proxies: int = Field(
        0, ge=0, le=16, description="Proxies in front of the API whose `X-Forwarded-…` headers are trusted."
    )
    datasets_dir: Path | None = Field(
        None, description="Folder searched first for datasets (torchvision layout, `text/NAME.txt`)."
    )
    offline: bool = Field(False, description="Never download a dataset.")
    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL; SQLite in `MIMEO_HOME`, on a local disk, when unset."
    )
    database_password_file: Path | None = Field(
        None, description="File with the password of the database, for a URL without one."
    )
    redis_url: SecretStr | None = Field(
        None, description="Redis URL; the embedded server's socket in `MIMEO_HOME` when unset."
    )
    redis_password_file: Path | None = Field(
        None, description="File with the password of Redis, for a URL without one."
    )
    storage_url: str | None = Field(
        None, description="fsspec URL of checkpoints and samples; `MIMEO_HOME/storage` when unset."
    )
    lease_s: Seconds = Field(
        30.0, description="Length of a lease. A worker that does not renew it for this long loses its job."
    )
    heartbeat_s: Seconds = Field(5.0, description="Interval at which a worker renews its lease.")
    control_poll_s: Seconds = Field(0.5, description="Interval at which a worker checks for a cancel or a pause.")
    reconcile_s: Seconds = Field(1.0, description="Interval of the reconciler.")
    preempt_after_s: float = Field(
        60.0, ge=0, description="Time that a preemptible job runs before it gives way to a job of a higher priority."
    )
    notification_stale_s: Seconds = Field(15.0, description="A queued job is notified again after this time.")
    backoff_s: Seconds = Field(5.0, description="Wait before the second attempt; doubles each time, with jitter.")
    backoff_max_s: Seconds = Field(300.0, description="Longest wait between attempts.")
    stall_timeout_s: Seconds = Field(600.0, description="A trainer without a report for this long is killed.")
    consumer_stall_s: Seconds = Field(
        30.0, description="An idle worker restarts when notifications wait longer than this."
    )
    stop_grace_s: Seconds = Field(20.0, description="Time for a trainer to write its checkpoint at a stop.")
    block_timeout_s: Seconds = Field(
        30.0,
        description="A worker ends when its generation goes on for longer after a cancel or a timeout.",
    )
    orphan_grace_s: Seconds = Field(3600.0, description="Age at which stored files without a row are removed.")
    warm_start: bool = Field(
        True, description="A training worker keeps imported libraries in memory for its next trainer (Linux)."
    )
    ready_models: bool = Field(True, description="Import the models that come with Mimeo at the first start.")
    keep_jobs_days: float | None = Field(
        None, gt=0, description="Days after which ended jobs are removed, except those with a model; never when unset."
    )
    quota_running_jobs: int | None = Field(
        None, gt=0, description="Training jobs of an owner that run at a time; no limit when unset."
    )
    worker_labels: Annotated[
        tuple[Annotated[str, AfterValidator(checked_label)], ...], *Listed, Field(max_length=MOST_LABELS)
    ] = Field((), description="Labels of a training worker, such as `a100,large`, that jobs can require.")
    jobs_per_device: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = Field(
        "auto", description="Trainings on a device at a time; `auto`: up to 8 on a GPU as its use allows, 1 on a CPU."
    )
    worker_memory_bytes: Bytes | None = Field(None, description="Memory that a job may use; the machine's when unset.")
    generation_cache_bytes: Bytes = Field(1 << 30, description="Memory for loaded models in a generation worker.")
    min_free_bytes: int = Field(
        128 << 20, ge=0, description="Free space below which no job is accepted or started; 0 checks nothing."
    )
    max_body_bytes: Bytes = Field(4 << 20, description="Largest JSON request.")
    max_upload_bytes: Bytes = Field(64 << 20, description="Largest uploaded dataset or model.")
    quota_waiting_jobs: int | None = Field(
        None, ge=1, description="Jobs of an owner that may wait at a time; no limit when unset."
    )
    quota_stored_bytes: Bytes | None = Field(
        None, description="Bytes of an owner's files at which no job and no upload is accepted; no limit when unset."
    )
    quota_requests_per_minute: int | None = Field(
        None, ge=1, description="Requests of an owner a minute; no limit when unset."
    )
    api_threads: int = Field(4, ge=2, le=256, description="Requests that the API processes at a time; others queue.")
    api_waits: int = Field(512, ge=0, le=4096, description="Requests that wait at a time (`Prefer: wait`).")
    api_connections: int = Field(8192, ge=16, le=65536, description="Open connections of the API.")
    max_streams: int = Field(200, ge=1, le=1000, description="Open streams of live changes at a time.")
    webhook_secret: SecretStr | None = Field(
        None, description="Key that signs webhooks, `whsec_…`; several separated by spaces."
    )
    webhook_secret_file: Path | None = Field(None, description="File with that key, in place of the variable.")
    webhook_allowed_hosts: Annotated[tuple[Annotated[str, AfterValidator(allowed_target)], ...], *Listed] = Field(
        (), description="Names and networks without a public address that webhooks may reach, such as `ci,10.1.0.0/16`."
    )
    webhook_timeout_s: Seconds = Field(10.0, description="Longest time of one delivery of a webhook.")
    webhook_backoff_s: Seconds = Field(
        5.0, description="Wait before the second delivery; triples each time, to 4 hours, for a day."
    )
    log_format: Literal["console", "json"] = Field("console", description="`console` for people, `json` for machines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line logged.")

    _webhook_keys: tuple[bytes, ...] = PrivateAttr(())
    _complete_urls: dict[str, SecretStr] = PrivateAttr(default_factory=dict)  # those with a password from a file

    @model_validator(mode="before")
    @classmethod
    def _refuse_renamed(cls, given: Any) -> Any:
        for variable in os.environ:
            if new := _RENAMED.get(variable.upper()):
                raise SetupError(f"{variable} is now called {new}; rename the variable.")
        return given

    @model_validator(mode="after")
    def _read_passwords(self) -> "Settings":
        for name, url, file in (
            ("database", self.database_url, self.database_password_file),
            ("redis", self.redis_url, self.redis_password_file),
        ):
            if file is not None:
                given = url.get_secret_value() if url else None
                self._complete_urls[name] = SecretStr(with_password(given, file, f"MIMEO_{name.upper()}"))
        return self

    @model_validator(mode="after")
    def _read_webhook_keys(self) -> "Settings":
        variable, secret = "MIMEO_WEBHOOK_SECRET", self.webhook_secret
        if self.webhook_secret_file is not None:
            if secret is not None:
                raise SetupError(f"{variable} and {variable}_FILE are both set: keep one of them.")
            variable = f"{variable}_FILE"
            secret = SecretStr(read_secret(self.webhook_secret_file, variable))
        if secret is not None:
            try:
                self._webhook_keys = tuple(signing.keys(secret.get_secret_value()))
            except ValueError as error:
                raise SetupError(f"{variable}: {error}.") from None
        return self

    @property
    def webhook_keys(self) -> tuple[bytes, ...]:
        """The keys that sign webhooks, the current one first; empty where webhooks are not set up."""
        return self._webhook_keys

    @property
    def home_path(self) -> Path:
        """`home`, absolute."""
        return self.home.expanduser().resolve()

    @property
    def redis_socket(self) -> Path:
        """Unix socket of the embedded Redis, in the home's `run`.

        When that path is too long for a socket (108 bytes on Linux, 104 on macOS), the socket is in a short folder of
        /tmp, named after the home and the user.
        """
        socket = self.home_path / "run" / "redis.sock"
        if len(os.fsencode(socket)) <= MAX_SOCKET_PATH:
            return socket
        key = hashlib.sha256(os.fsencode(self.home_path)).hexdigest()[:16]
        return Path("/tmp") / f"mimeo-{os.getuid()}-{key}" / socket.name  # noqa: S108  its owner is checked at start

    @property
    def resolved_database_url(self) -> str:
        """SQLAlchemy URL, with password and SQLite default filled in."""
        if (url := self._complete_urls.get("database", self.database_url)) is not None:
            return url.get_secret_value()
        return f"sqlite:///{quote(str(self.home_path / 'mimeo.db'))}"

    @property
    def resolved_redis_url(self) -> str:
        """Redis URL in redis-py's form (`redis://…` or `unix://…`), with password and embedded default filled in."""
        if (url := self._complete_urls.get("redis", self.redis_url)) is not None:
            return url.get_secret_value()
        return f"unix://{quote(str(self.redis_socket))}"

    @property
    def celery_broker_url(self) -> str:
        """The Redis URL in kombu's form: Unix sockets are `redis+socket://`, and certificates are checked on demand."""
        url = self.resolved_redis_url
        if url.startswith("rediss://") and "ssl_cert_reqs=" not in url:
            url += f"{'&' if '?' in url else '?'}ssl_cert_reqs=required"
        return url.replace("unix://", "redis+socket://", 1)

    @property
    def resolved_storage_url(self) -> str:
        """URL (fsspec) of the artifact store."""
        return self.storage_url or f"file://{self.home_path / 'storage'}"

    @property
    def runs_path(self) -> Path:
        """Scratch folders of the runs on this machine."""
        return self.home_path / "runs"

    @property
    def downloads_path(self) -> Path:
        """Where downloaded datasets are kept."""
        return self.home_path / "datasets"


def check_exposure(settings: Settings) -> None:
    """Raises SetupError where the API would listen beyond this machine without authentication."""
    if settings.auth == "required" or _is_loopback(settings.host):
        return
    raise SetupError(
        f"MIMEO_HOST={settings.host} lets other machines reach the API, and MIMEO_AUTH is off. Set MIMEO_AUTH=required "
        "and make keys with `mimeo keys create`, or listen on 127.0.0.1."
    )


def _is_loopback(host: str) -> bool:
    """Whether a host name or an address stands for this machine alone."""
    try:
        found = {ip_address(host)}
    except ValueError:
        try:
            found = {ip_address(str(each[4][0]).partition("%")[0]) for each in socket.getaddrinfo(host, None)}
        except OSError:
            return False
    return all(address.is_loopback for address in found)


def reason(error: SetupError | ValidationError, options: Collection[str] = ()) -> str:
    """Why settings are refused, in one line with the variable. options: settings that were given as options."""
    if isinstance(error, SetupError):
        return error.detail
    first = error.errors(include_url=False)[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    variable = f"--{field}" if field in options else f"MIMEO_{field.upper()}"
    return f"{variable}={first['input']!r} is not valid: {first['msg'].removeprefix('Value error, ')}"
