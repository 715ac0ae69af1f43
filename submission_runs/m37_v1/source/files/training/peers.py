"""Several processes that train one run: how they find each other, agree, and notice that one of them is gone.

jax.distributed does the arithmetic, and ends badly: a survivor hangs, or is aborted without a sentence. So each process
holds a line (a TCP connection) to the first one. A line that breaks names its process at once, the first process passes
the name on, and every survivor says it and leaves.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.errors import FAILED, AddressTaken, GroupError, PeerError
from training.reporter import Reporter
from training.stop import Stop

COORDINATOR, PROCESSES, PROCESS = "ASSAY_COORDINATOR", "ASSAY_PROCESSES", "ASSAY_PROCESS"
JOIN_SECONDS = "ASSAY_JOIN_SECONDS"
"""How long processes may wait for each other at the start (120)."""
OWN_WORD_SECONDS = 1.0
"""How long a survivor may take to say by itself what is wrong, before it says that another one failed."""
GOODBYE, GONE = b"goodbye", b"gone "
LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Group:
    """What a process is told of its group. ``coordinator``: host and port where process 0 listens."""

    coordinator: str
    processes: int
    process: int
    join_seconds: int = 120

    @property
    def host(self) -> str:
        return self.coordinator.rpartition(":")[0]

    @property
    def port(self) -> int:
        return int(self.coordinator.rpartition(":")[2])

    @property
    def listening(self) -> str:
        """Where process 0 listens: only here for processes of one machine, everywhere for those of several."""
        return "127.0.0.1" if self.host in LOOPBACK else "0.0.0.0"


def asked(environment: Mapping[str, str]) -> Group | None:
    """The group that the environment names; None for a process alone. Raises GroupError."""
    given = {name: environment[name] for name in (COORDINATOR, PROCESSES, PROCESS) if environment.get(name)}
    if not given:
        return None
    if missing := {COORDINATOR, PROCESSES, PROCESS} - given.keys():
        raise GroupError(f"{', '.join(sorted(missing))} must be set too, since {', '.join(sorted(given))} is")
    host, _, port = given[COORDINATOR].rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise GroupError(f"{COORDINATOR} must be host:port, got {given[COORDINATOR]!r}")
    numbers = [int(given[name]) if given[name].isdigit() else -1 for name in (PROCESSES, PROCESS)]
    if numbers[0] < 1 or not 0 <= numbers[1] < numbers[0]:
        raise GroupError(
            f"{PROCESS} must be a number from 0 to {PROCESSES} - 1, got {given[PROCESS]!r} of {given[PROCESSES]!r}"
        )
    patience = environment.get(JOIN_SECONDS) or "120"
    if not patience.isdigit() or not int(patience):
        raise GroupError(f"{JOIN_SECONDS} must be a whole number of seconds, got {patience!r}")
    return Group(given[COORDINATOR], numbers[0], numbers[1], int(patience))


def environment(group: Group) -> dict[str, str]:
    """The variables that tell a process its group; ``asked(environment(g)) == g``."""
    return {
        COORDINATOR: group.coordinator,
        PROCESSES: str(group.processes),
        PROCESS: str(group.process),
        JOIN_SECONDS: str(group.join_seconds),
    }


def check_address(group: Group) -> None:
    """Raises AddressTaken when process 0 cannot listen where it should: jax would crash on that without a word."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((group.listening, group.port))
        except OSError as error:
            raise AddressTaken(
                f"process 0 cannot listen at {group.coordinator} ({error.strerror}); name another port in {COORDINATOR}"
            ) from None


class Peers:
    """The processes of a run as one of them sees them. One alone is the first of one, and waits for nobody."""

    def __init__(self, group: Group | None, run_nonce: str, reporter: Reporter) -> None:
        self.process, self.count = (group.process, group.processes) if group else (0, 1)
        self._group, self._reporter = group, reporter
        self._word = hashlib.sha256(f"line of {run_nonce}".encode()).digest()
        self._lines: dict[int, socket.socket] = {}
        self._scratch = contextlib.ExitStack()
        self._ending = threading.Lock()

    @property
    def first(self) -> bool:
        return self.process == 0

    def join(self, stop: Stop) -> None:
        """Meet the others, and stop when they do. Nobody comes: says so, and ends this process."""
        if self._group is None:
            return
        late = threading.Timer(self._group.join_seconds, self._leave, (self._nobody_came(),))
        late.daemon = True
        late.start()
        import jax

        jax.distributed.initialize(
            self._group.coordinator,
            self.count,
            self.process,
            initialization_timeout=2 * self._group.join_seconds,
            cluster_detection_method="deactivate",
            coordinator_bind_address=f"{self._group.listening}:{self._group.port}",
        )
        self._hold_lines()
        late.cancel()
        stop.agree()

    def folder(self, run: Path) -> Path:
        """Where this process writes what every process writes alike: the run folder has one writer, the first."""
        return run if self.first else Path(self._scratch.enter_context(tempfile.TemporaryDirectory(prefix="assay-")))

    def choose(self, number: int) -> int:
        """The first process's ``number``, in all of them."""
        if self._group is None:
            return number
        import numpy as np
        from jax.experimental import multihost_utils

        return int(multihost_utils.broadcast_one_to_all(np.int32(number)))

    def agree(self, what: str, sha256: str) -> None:
        """Raises PeerError in every process whose digest of ``what`` is not the first one's."""
        if self._group is None:
            return
        import numpy as np
        from jax.experimental import multihost_utils

        mine = np.frombuffer(bytes.fromhex(sha256), np.uint8)
        others = np.asarray(multihost_utils.process_allgather(mine)).reshape(self.count, -1)
        for process, digest in enumerate(others):
            if bytes(digest) != bytes(others[0]):
                raise PeerError(
                    f"process {process} has {what} of sha256 {bytes(digest).hex()}, process 0 has "
                    f"{bytes(others[0]).hex()}; all processes need the same files, in one shared run folder"
                )

    def part(self) -> None:
        """The orderly end: nobody takes this process's leaving for a death."""
        if self._group is None:
            return
        with self._ending:
            for line in self._lines.values():
                with contextlib.suppress(OSError):
                    line.sendall(GOODBYE + b"\n")
        import jax

        jax.distributed.shutdown()
        self._scratch.close()

    def fail(self, error: BaseException, code: int, *, own: bool) -> None:
        """Say why this process ends. In a group it then leaves at once, since jax would hang for the others' sake.

        ``own``: this process knows what is wrong. Otherwise it first listens whether another one broke: an error in a
        collective operation is mostly the echo of that.
        """
        if self._group is not None and not own:
            threading.Event().wait(2 * OWN_WORD_SECONDS)  # whoever has lost a peer leaves meanwhile
        with self._ending:
            self._reporter.failed(error)
            if self._group is None:
                return
            self._exit(f"process {self.process} failed: {type(error).__name__}: {error}", code)

    def _hold_lines(self) -> None:
        assert self._group is not None
        if self.first:
            listener = socket.create_server((self._group.listening, 0), backlog=self.count)
            self.choose(listener.getsockname()[1])
            with listener:
                while len(self._lines) < self.count - 1:
                    line, _ = listener.accept()
                    said = _heard(line, len(self._word) + 4)
                    if said[:-4] == self._word:  # whoever does not know the run's word is none of its processes
                        self._lines[int.from_bytes(said[-4:], "big")] = line
        else:
            line = socket.create_connection((self._group.host, self.choose(0)), timeout=self._group.join_seconds)
            line.sendall(self._word + self.process.to_bytes(4, "big"))
            self._lines[0] = line
        for process, line in self._lines.items():
            line.settimeout(None)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3)):  # a silent host: 11 s
                if hasattr(socket, name):
                    line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            threading.Thread(target=self._listen, args=(process, line), daemon=True).start()

    def _listen(self, process: int, line: socket.socket) -> None:
        """Until the line's other end says goodbye, or breaks."""
        said = b""
        with contextlib.suppress(OSError):
            while part := line.recv(4096):
                said += part
        words = said.decode("utf-8", "replace").splitlines()
        if words and words[-1] == GOODBYE.decode():
            return
        told = [word.removeprefix(GONE.decode()) for word in words if word.startswith(GONE.decode())]
        reason = told[0] if told else f"process {process} is gone: it was killed, or its machine cannot be reached"
        if told:
            threading.Event().wait(OWN_WORD_SECONDS)  # the same may have happened here, and is better told first-hand
        self._leave(reason)

    def _leave(self, reason: str) -> None:
        where = "" if self.first else " (process 0 writes the run's events)"
        error = PeerError(f"{reason}; {self.count} processes train this run together, and none can go on alone{where}")
        with self._ending:
            self._reporter.failed(error)
            print(f"error: {error}", file=sys.stderr)
            self._exit(reason, FAILED)

    def _exit(self, reason: str, code: int) -> None:
        for line in self._lines.values():
            with contextlib.suppress(OSError):
                line.sendall(GONE + " ".join(reason.split()).encode("utf-8", "replace")[:1000] + b"\n")
        sys.stdout.flush()
        sys.stderr.flush()
        self._scratch.close()
        os._exit(code)  # not sys.exit: jax would wait for those who are gone

    def _nobody_came(self) -> str:
        assert self._group is not None
        whom = f"process 0 at {self._group.coordinator}"
        if self.first:
            others = ", ".join(map(str, range(1, self.count)))
            whom = f"all of the processes {others} at {self._group.coordinator}"
        return f"process {self.process} waited {self._group.join_seconds} s for {whom} in vain"


def _heard(line: socket.socket, count: int) -> bytes:
    """The first ``count`` bytes from a line; fewer from one that breaks or keeps silent."""
    line.settimeout(10.0)
    said = b""
    with contextlib.suppress(OSError):
        while len(said) < count and (part := line.recv(count - len(said))):
            said += part
    return said
