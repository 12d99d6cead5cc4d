"""Spans of requests and attempts by OpenTelemetry, an extra: without `OTEL_EXPORTER_OTLP_ENDPOINT` nothing is recorded.

The libraries read further `OTEL_…` variables themselves.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from shared.errors import SetupError

VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace_id>(?!0{32})[0-9a-f]{32})-(?P<span_id>(?!0{16})[0-9a-f]{16})-[0-9a-f]{2}"
)

_tracer: Any = None
CURRENT: ContextVar[str | None] = ContextVar("trace_parent", default=None)  # `traceparent` of the current request


def configure(process: str) -> None:
    """Export the spans of this process, if the variable is set. Raises SetupError where the extra is not installed."""
    global _tracer  # noqa: PLW0603 - one exporter for each process
    if _tracer is not None or not os.environ.get(VARIABLE):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        raise SetupError(f"{VARIABLE} is set, but OpenTelemetry is not installed: pip install 'mimeo[otel]'.") from None
    provider = TracerProvider(resource=Resource.create({"service.name": f"mimeo-{process}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("mimeo")


class Span:
    """A span in progress, or nothing where traces are off. trace_parent: names it as a parent, in W3C's form."""

    def __init__(self, span: Any = None) -> None:
        self._span = span

    @property
    def trace_parent(self) -> str | None:
        """`traceparent` for spans below this one; None where traces are off."""
        if self._span is None:
            return None
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def end(self, *, is_error: bool = False, **attributes: Any) -> None:
        """End the span."""
        if self._span is None:
            return
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        self._span.set_attributes(attributes)
        if is_error:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def start(
    name: str, *, parent: str | None, kind: str = "INTERNAL", attributes: Mapping[str, Any] | None = None
) -> Span:
    """Start a span. parent: a `traceparent`; others than valid ones are ignored. kind: `SERVER`, `CONSUMER` …."""
    if _tracer is None:
        return Span()
    from opentelemetry.trace import SpanKind  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    context = TraceContextTextMapPropagator().extract({"traceparent": parent} if parent else {})
    started = _tracer.start_span(name, context=context, kind=SpanKind[kind], attributes=dict(attributes or {}))
    return Span(started)


@contextmanager
def span(name: str, *, parent: str | None, kind: str, attributes: Mapping[str, Any]) -> Iterator[None]:
    """A span around a block; an exception is an error of it."""
    started = start(name, parent=parent, kind=kind, attributes=attributes)
    try:
        yield
    except BaseException:
        started.end(is_error=True)
        raise
    started.end()
