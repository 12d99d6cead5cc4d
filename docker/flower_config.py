"""Celery's configuration for Flower: the broker with the password from its file, and Mimeo's queues.

Flower's image has none of Mimeo's code, so the values of shared/broker/celery_settings.py are repeated here.
"""

import os
from pathlib import Path
from urllib.parse import quote

from kombu import Queue

_url = os.environ["MIMEO_REDIS_URL"]
_password = Path(os.environ["MIMEO_REDIS_PASSWORD_FILE"]).read_text().strip()

broker_url = _url.replace("://", f"://:{quote(_password, safe='')}@", 1)
broker_transport_options = {"global_keyprefix": "mimeo:", "priority_steps": [0, 3, 6, 9]}
broker_connection_retry_on_startup = True
task_queues = [Queue("training"), Queue("generation")]
task_default_queue = "training"
