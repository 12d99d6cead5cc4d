import threading
import time

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.db.fair_lock import FairLock
from shared.db.session import is_transient


def test_threads_get_the_lock_in_order_of_arrival() -> None:
    lock, order = FairLock(), []

    def write(number: int) -> None:
        with lock.held(60):
            order.append(number)

    with lock.held(60):
        threads = []
        for number in range(20):
            threads.append(threading.Thread(target=write, args=(number,)))
            threads[-1].start()
            while len(lock._waiting) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()

    assert order == list(range(20))


def test_wait_that_times_out_leaves_the_lock_to_the_next() -> None:
    lock = FairLock()

    with lock.held(60), pytest.raises(PoolTimeout) as caught, lock.held(0.01):
        pass
    with lock.held(0.01):
        pass

    assert is_transient(caught.value)


def test_error_in_the_block_frees_the_lock() -> None:
    lock = FairLock()

    with pytest.raises(ValueError, match="inside"), lock.held(1):
        raise ValueError("inside")

    with lock.held(0.01):
        pass
