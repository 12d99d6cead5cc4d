import subprocess
import sys

import pytest

from tests.stack.processes import ROOT, is_alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def test_orphans_are_adopted_and_killed_even_when_they_ignore_sigterm() -> None:
    program = """
import subprocess, sys, time
from stack.process_tree import become_subreaper, descendants, end_descendants
become_subreaper()
# A shell that starts one process that ends at SIGTERM and one that ignores it, and then ends.
subprocess.run(["sh", "-c", "sleep 60 & (trap '' TERM; sleep 60) & exit 0"], stdout=subprocess.DEVNULL)
time.sleep(0.2)
left = descendants()
killed = end_descendants(0.5, terminate=True)
print(len(left), len(killed), descendants(), *(process.pid for process in left))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    left, killed, after, *pids = done.stdout.split()
    assert int(left) >= 2
    assert 1 <= int(killed) < int(left)
    assert after == "[]"
    assert not any(is_alive(int(pid)) for pid in pids)
