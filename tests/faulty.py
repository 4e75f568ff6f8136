"""Trials that sleep, hang, die or ask for too much; and a program that runs trials whenever it is told to.

The processes of a pool import what they run: this module is light.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from kernel_collapse import cluster
from kernel_collapse.runs import sweep
from kernel_collapse.runs.store import Store
from kernel_collapse.runs.trials import GaussianClasses, Trial


class Sleeps(GaussianClasses):
    """For ever, in C."""

    def sample(self, seed):
        time.sleep(10_000)


class Spins(GaussianClasses):
    """For ever, in C, and lets no other thread of Python run: no signal, timer or thread inside can end it."""

    def sample(self, seed):
        return sum(iter(int, 1))


class Dies(GaussianClasses):
    """As if the kernel had killed it for its memory."""

    def sample(self, seed):
        os.kill(os.getpid(), signal.SIGKILL)


class Exits(GaussianClasses):
    """As a library does that gives up."""

    def sample(self, seed):
        os._exit(3)


class Hogs(GaussianClasses):
    """Asks for more memory than there is."""

    def sample(self, seed):
        return np.empty(2**59)


class Starts(GaussianClasses):
    """Starts a program of its own, writes its number to a file, and waits for it for ever."""

    def sample(self, seed):
        program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(10_000)"])
        Path(os.environ["FAULTY_PID"]).write_text(str(program.pid), encoding="utf-8")
        program.wait()


class Garbles(GaussianClasses):
    """Fails with half a character, once it has printed to streams that may be closed."""

    def sample(self, seed):
        print("to nobody", flush=True)
        raise ValueError("half \ud800")


class Naps(GaussianClasses):
    """Half a second, and then as ever."""

    def sample(self, seed):
        time.sleep(0.5)
        return super().sample(seed)


def trials(many, law=GaussianClasses, n=8):
    """Trials of a millisecond."""
    return [Trial(data=law(n=n, dim=2), measurement={"kernel": "data"}, seed=seed) for seed in range(many)]


def run_when_told():
    """Read how many trials, folder and workers from stdin, a line a run; print process id and exit code of each.

    Workers are a number, or the address of a scheduler. Each run is a fork of this program, which has everything
    imported, and the leader of a process group.
    """
    for line in sys.stdin:
        many, folder, workers = line.split()
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            elsewhere = "://" in workers
            with (
                cluster.connect(workers) if elsewhere else nullcontext() as executor,
                Store(Path(folder), {"name": "test"}) as store,
            ):
                sweep.run(
                    trials(int(many)), store, workers=1 if elsewhere else int(workers), executor=executor
                )
            os._exit(0)
        os.setpgid(pid, pid)  # here too, or a kill on a busy machine may come before there is a group
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    run_when_told()
