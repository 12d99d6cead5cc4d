"""What tells that Redis is away."""

import redis
from kombu.exceptions import OperationalError

FAILURES = (OperationalError, redis.RedisError, OSError)
REST_S = 1.0  # after one, nothing waits for the time-out again at once
