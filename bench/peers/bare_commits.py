"""The least that a task of ours can cost here: its two entries on the disks of a majority, and nothing else.

Three processes, one of them the leader. Both entries of a task, that it is accepted and that it has ended, are appended
to a file on each of the three and synced there; the leader sends, syncs its own, and counts an entry as committed when
one of the others has answered. No log that could be read again, no state, no election, no worker and no service.
"""

import ctypes
import os
import platform
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import protocol

FOLLOWERS = 2
ENTRIES_OF_A_TASK = 2
# One answer stands for a whole batch.
BATCH = 256
ANSWER = b"synced"
LENGTH_BYTES = 4
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def die_with_parent():
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)


def receive(stream, length):
    parts = b""
    while len(parts) < length:
        part = stream.recv(length - len(parts))
        if not part:
            raise EOFError
        parts += part
    return parts


class Log:
    def __init__(self, path):
        self.file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)

    def append(self, entries):
        if os.write(self.file, entries) != len(entries):
            raise OSError("a short write")
        os.fdatasync(self.file)


def follow(path, descriptor):
    log, leader = Log(path), socket.socket(fileno=descriptor)
    while True:
        try:
            length = int.from_bytes(receive(leader, LENGTH_BYTES), "little")
        except EOFError:
            return
        log.append(receive(leader, length))
        leader.sendall(ANSWER)


class Tasks:
    def __init__(self, folder):
        self.log = Log(Path(folder, "leader.log"))
        self.followers, self.processes, self.behind = [], [], []
        for number in range(FOLLOWERS):
            follower, mine = connected()
            follower.set_inheritable(True)
            words = [sys.executable, __file__, "follow", Path(folder, f"follower-{number}.log"), follower.fileno()]
            self.processes.append(
                subprocess.Popen(
                    [str(word) for word in words], pass_fds=[follower.fileno()], preexec_fn=die_with_parent
                )
            )
            follower.close()
            self.followers.append(mine)
            self.behind.append(0)

    def commit(self, entries):
        for number, follower in enumerate(self.followers):
            follower.sendall(len(entries).to_bytes(LENGTH_BYTES, "little") + entries)
            self.behind[number] += 1
        self.log.append(entries)
        # A majority is there with the first answer; what a slower one still owes from before is taken when it comes.
        while min(self.behind) > 0:
            for follower in select.select(self.followers, [], [])[0]:
                receive(follower, len(ANSWER))
                self.behind[self.followers.index(follower)] -= 1

    def run_one(self, given):
        for _entry in range(ENTRIES_OF_A_TASK):
            self.commit(given)
        return given

    def run_all(self, inputs):
        for first in range(0, len(inputs), BATCH):
            for _entry in range(ENTRIES_OF_A_TASK):
                self.commit(b"".join(inputs[first : first + BATCH]))
        return inputs

    def close(self):
        for follower, owed, process in zip(self.followers, self.behind, self.processes, strict=True):
            receive(follower, owed * len(ANSWER))
            follower.close()
            process.wait()


def connected():
    """Both ends of a connection over the loopback interface, as between nodes of one machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _address = listener.accept()
    for end in (one, other):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


if __name__ == "__main__":
    if sys.argv[1] == "follow":
        follow(sys.argv[2], int(sys.argv[3]))
    else:
        protocol.serve(f"Python {platform.python_version()}", Tasks)
