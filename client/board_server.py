"""TensorBoard as a child of `mimeo tensorboard`: `python -m client.board_server LOGDIR [PORT]`.

Prints its address as its first line, and ends when its standard input does, so that it never outlives its parent.
A program of its own, since TensorBoard takes a second to import, which no other command should pay for.
"""

import signal
import sys

from tensorboard import program


def main() -> int:
    """Serve until standard input ends."""
    logdir, *port = sys.argv[1:]
    # Ctrl-C reaches every process of the terminal; the parent says when it is time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    board = program.TensorBoard()
    board.configure(logdir=logdir, reload_interval=5.0, **({"port": int(port[0])} if port else {}))
    try:
        address = board.launch()
    except program.TensorBoardServerException as error:
        print(error, file=sys.stderr)
        return 1
    print(address, flush=True)
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
