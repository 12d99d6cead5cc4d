"""One file per resource; `BLUEPRINTS` is what the application registers."""

from api.routes import (
    artifacts,
    datasets,
    generation_jobs,
    health,
    model_exports,
    model_types,
    models,
    queue,
    root,
    session,
    storage,
    streams,
    training_job_records,
    training_jobs,
    webhook_deliveries,
    workers,
)

BLUEPRINTS = (
    training_jobs.routes,
    training_job_records.routes,
    webhook_deliveries.routes,
    generation_jobs.routes,
    models.routes,
    model_exports.routes,
    artifacts.routes,
    datasets.routes,
    model_types.routes,
    streams.routes,
    workers.routes,
    queue.routes,
    storage.routes,
    session.routes,
    health.routes,
    root.routes,
)
