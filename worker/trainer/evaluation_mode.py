"""A look at the model that leaves its training as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

from worker.seeding import Stream
from worker.trainer.cadence import Stopwatch
from worker.trainer.prepare import Run


@contextmanager
def evaluation_mode(run: Run, watch: Stopwatch) -> Iterator[None]:
    """Evaluation mode and one fixed seed inside; training mode and a stopped watch outside.

    The seed is the same at every look, so that epochs compare and a resumed run sees what an uninterrupted one saw.
    """
    run.model.eval()
    run.seeder.set(Stream.LOOK)
    try:
        with watch.away():
            yield
    finally:
        run.model.train()
