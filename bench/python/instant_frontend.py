"""A frontend that answers at once: what the published client can do at most, whatever is behind it.

Usage: instant_frontend.py. Prints its port; ends when its standard input does. A task has ended with its input as its
output before it is asked for. `callers.py http://127.0.0.1:PORT any 8 5000` runs against it.
"""

import itertools
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from flamepy.proto import frontend_pb2_grpc
from flamepy.proto.types_pb2 import Metadata, Session, SessionStatus, Task, TaskSpec, TaskStatus

THREADS = 16
OPEN, CLOSED = 0, 1
PENDING, SUCCEED = 0, 2


class InstantFrontend(frontend_pb2_grpc.FrontendServicer):
    def __init__(self):
        self.numbers = itertools.count(1)
        self.inputs = {}

    def CreateSession(self, request, context):
        return session(request.session_id, OPEN)

    def CloseSession(self, request, context):
        return session(request.session_id, CLOSED)

    def CreateTask(self, request, context):
        number = str(next(self.numbers))
        self.inputs[number] = request.task.input
        return task(number, request.task, TaskStatus(state=PENDING, creation_time=1))

    def WatchTask(self, request, context):
        given = self.inputs.pop(request.task_id)
        spec = TaskSpec(session_id=request.session_id, input=given, output=given)
        yield task(request.task_id, spec, TaskStatus(state=SUCCEED, creation_time=1, completion_time=2))


def session(session_id, state):
    status = SessionStatus(state=state, creation_time=1)
    return Session(metadata=Metadata(id=session_id, name=session_id), status=status)


def task(number, spec, status):
    return Task(metadata=Metadata(id=number, name=number), spec=spec, status=status)


def main():
    server = grpc.server(ThreadPoolExecutor(THREADS))
    frontend_pb2_grpc.add_FrontendServicer_to_server(InstantFrontend(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
