"""A jobs table of a given size, made inside the database: old jobs have ended, the newest 2 % wait or are paused."""

import json
from dataclasses import dataclass

from sqlalchemy import Connection, text

WAITING_SHARE = 50  # one job in fifty is not terminal
_STARTED_MS = 1_700_000_000_000
_HYPERPARAMETERS = {
    "epochs": 10, "batch_size": 256, "learning_rate": 0.001, "hidden": [512], "latent": 2, "kl_weight": 1.0,
}  # fmt: skip
_SPEC = {"dataset": "digits", "preset": "fast", "hyperparameters": _HYPERPARAMETERS, "init_from": None}
_PROGRESS = {"epoch": 10, "epochs": 10, "step": 2350, "steps": 2350, "fraction": 1.0, "eta_s": 0.0}
_METRICS = {"loss": 28.41, "val_loss": 29.02, "reconstruction": 25.1, "kl": 3.31, "learning_rate": 0.001}

# Each statement takes the numbers of its rows from `numbers(n)` and is valid in both dialects.
_NUMBERS = {
    "sqlite": "numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)",
    "postgresql": "numbers(n) AS (SELECT generate_series(CAST(:first AS bigint), CAST(:last AS bigint)))",
}
_DIGITS = {"sqlite": "printf('%026d', n)", "postgresql": "lpad(CAST(n AS text), 26, '0')"}
_JSON = {"sqlite": "{0}", "postgresql": "CAST({0} AS jsonb)"}

_JOBS = """
WITH RECURSIVE {numbers}
INSERT INTO jobs (id, kind, status, model_type, name, spec, metadata, priority, seed, max_attempts, timeout_s, attempt,
  fencing_token, notified_at, progress, metrics, error, created_at, started_at, finished_at, updated_at, version)
SELECT 'trn_' || {digits}, 'training',
  CASE WHEN n > :ended THEN (CASE WHEN n % 10 = 0 THEN 'paused' ELSE 'queued' END)
       WHEN n % 20 = 0 THEN 'failed' WHEN n % 20 = 1 THEN 'cancelled' ELSE 'succeeded' END,
  CASE n % 3 WHEN 0 THEN 'lstm' WHEN 1 THEN 'vae' ELSE 'acgan' END,
  'job ' || n, {spec}, {empty}, CASE n % 7 WHEN 0 THEN 0 WHEN 1 THEN 2 ELSE 1 END, n, 3, 86400,
  CASE WHEN n > :ended THEN 0 ELSE 1 END, CASE WHEN n > :ended THEN 0 ELSE 1 END, :start + n * 1000,
  {progress}, {metrics}, NULL, :start + n * 1000,
  CASE WHEN n > :ended THEN NULL ELSE :start + n * 1000 + 50 END,
  CASE WHEN n > :ended THEN NULL ELSE :start + n * 1000 + 900 END, :start + n * 1000 + 900, 4
FROM numbers
"""
_CHECKPOINTS = """
WITH RECURSIVE {numbers}
INSERT INTO checkpoints (id, job_id, epoch, step, storage_key, sha256, size, is_best, metrics, created_at)
SELECT 'ckp_' || {digits}, 'trn_' || {digits}, 10, 2350, 'jobs/trn_' || {digits} || '/checkpoints/00002350-1',
  {sha256}, 1650000, {true}, {empty}, :start + n * 1000 FROM numbers WHERE n <= :ended AND n % 20 > 1
"""
_MODELS = """
WITH RECURSIVE {numbers}
INSERT INTO models (id, job_id, checkpoint_id, model_type, dataset, name, hyperparameters, quality, versions,
  created_at)
SELECT 'mdl_' || {digits}, 'trn_' || {digits}, 'ckp_' || {digits}, 'vae', 'digits', NULL, {hyperparameters},
  {empty}, {empty}, :start + n * 1000 FROM numbers WHERE n <= :ended AND n % 20 > 1
"""
_EVENTS = """
WITH RECURSIVE {numbers}
INSERT INTO job_events (job_id, type, attempt, message, data, created_at)
SELECT 'trn_' || {digits}, 'queued', 0, 'Accepted.', {empty}, :start + n * 1000 FROM numbers
"""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The state of a filled table: jobs 1 to `ended` have ended, the rest wait."""

    count: int
    ended: int

    def job_id(self, number: int) -> str:
        """Id of a job by its number, from 1."""
        return f"trn_{number:026d}"


def fill(connection: Connection, count: int) -> Rows:
    """Insert `count` training jobs with their first events, and checkpoint and model of each that succeeded."""
    dialect = connection.dialect.name
    rows = Rows(count=count, ended=count - count // WAITING_SHARE)
    values = {"first": 1, "last": count, "ended": rows.ended, "start": _STARTED_MS}
    literals = {"spec": _SPEC, "empty": {}, "progress": _PROGRESS, "metrics": _METRICS}
    parts = {name: _JSON[dialect].format(f"'{json.dumps(value)}'") for name, value in literals.items()}
    parts |= {
        "hyperparameters": _JSON[dialect].format(f"'{json.dumps(_HYPERPARAMETERS)}'"),
        "numbers": _NUMBERS[dialect],
        "digits": _DIGITS[dialect],
        "sha256": f"'{'0' * 64}'",
        "true": "1" if dialect == "sqlite" else "TRUE",
    }
    for template in (_JOBS, _CHECKPOINTS, _MODELS, _EVENTS):
        statement = template.format(**parts).replace('": ', '"\\: ').replace("': ", "'\\: ")
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(text(statement), used)
    return rows
