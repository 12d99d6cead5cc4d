"""TensorBoard as a child of `mimeo tensorboard`: `python -m client.board_server LOGDIR [PORT]`.

Prints its address as the first line. It ends at the end of its standard input, and so never outlives its parent.
It is a separate program, because the import of TensorBoard takes a second.
"""

import signal
import sys

from tensorboard import program


def main() -> int:
    """Serve until standard input ends."""
    logdir, *port = sys.argv[1:]
    # Ctrl-C reaches every process of the terminal; this one ends with its parent.
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
