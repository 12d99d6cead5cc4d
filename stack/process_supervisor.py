"""`python -m stack.process_supervisor --configuration FILE`: supervisord, whose logs lose lines while the disk is full.

supervisord itself ends when it cannot write a log line to a full disk, and takes every program with it.
"""

import contextlib
from typing import IO

from supervisor import loggers, supervisord


class LossyFileHandler(loggers.RotatingFileHandler):  # type: ignore[misc]  # supervisor has no types
    """A rotated log file. A line that cannot be written is dropped; writing resumes when there is space."""

    stream: IO[bytes]

    def handleError(self) -> None:  # noqa: N802  supervisor's name
        """Drop the line. The base class prints a traceback to standard error, which may be on the same disk."""

    def doRollover(self) -> None:  # noqa: N802  supervisor's name
        """Rotate the file if it is due. A file whose last lines could not be written is opened again."""
        try:
            super().doRollover()
        except (OSError, ValueError):  # ValueError: the file is closed
            with contextlib.suppress(OSError):
                self.stream.close()
            with contextlib.suppress(OSError):
                self.stream = open(self.baseFilename, "ab")  # noqa: PTH123, SIM115  as in the base class


def main() -> None:
    """Run supervisord with the arguments of this process."""
    loggers.RotatingFileHandler = LossyFileHandler  # the name by which supervisor makes every log file
    supervisord.main()


if __name__ == "__main__":
    main()
