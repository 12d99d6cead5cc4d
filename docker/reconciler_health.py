"""Exit 0 while a reconciler ends its rounds, which it records in the database every few seconds."""

import sys

from shared.db.session import make_engine, reading, session_factory
from shared.services import metric_totals
from shared.settings import Settings

LONGEST_S = 120.0

with reading(session_factory(make_engine(Settings()))) as session:
    age_s = metric_totals.reconciler_age_s(session)
sys.exit(age_s is None or age_s > LONGEST_S)
