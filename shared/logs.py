"""Log format of every process, on standard error: text lines for a console, JSON for machines."""

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from shared.control_characters import escaped
from shared.settings import Settings

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(settings: Settings, process: str) -> None:
    """Configure structlog and the standard library's logging from the settings. Call once, when a process starts.

    process: what this process is, such as `api`; in JSON each line has it.

    Tracebacks omit local variables, which may hold passwords.
    """
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *common,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_last(settings, process)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[settings.log_level])


def request_id() -> str | None:
    """Id of the request that this thread processes; None outside a request."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return None if found is None else str(found)


def _last(settings: Settings, process: str) -> list[Processor]:
    def name_process(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    if settings.log_format == "json":
        return [name_process, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [
        _escape_texts,
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain),
    ]


def _escape_texts(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Escape control characters, which a request can put into a path. JSON does it by itself."""
    return {name: escaped(value) if isinstance(value, str) else value for name, value in event.items()}
