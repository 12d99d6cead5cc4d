"""The exceptions that mean that Redis is unavailable."""

import redis
from kombu.exceptions import OperationalError

FAILURES = (OperationalError, redis.RedisError, OSError)
RETRY_AFTER_S = 1.0  # pause after a failure, so that not every call waits for the connection time-out
