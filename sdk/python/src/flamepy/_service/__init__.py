"""The engine of services: a process that a worker starts and whose tasks it runs.

A service listens on a unix socket and is called in one of two ways: over our stream, with several tasks in flight, or by
the published Instance service, one call per task. User code is the same for both. Behind `FLAME_FRAMES_ENDPOINT` the stream
comes in bare frames; a worker that does not offer that calls by gRPC behind `FLAME_INSTANCE_ENDPOINT`, in either way.

**Invariant:** an exception of user code becomes an answer with code -1 and its text; it never ends the process.
**Invariant:** user code runs in one place, one piece after the other, in the order in which it was asked for: on the
thread that called `run`, or on the event loop of that thread when the service has async methods.
**Invariant:** the socket is served by other threads, so that user code that keeps its thread busy holds up no result
that is there, no cancellation and no withdrawal.
**Invariant:** on SIGTERM what runs is answered before the process ends; what has not begun is answered as skipped.

| module | holds |
|---|---|
| `context` | what a service is told |
| `cancellation` | how a running task hears that nobody wants it any more |
| `publisher` | what an executor says about itself |
| `orders` | what is to be done, and where the answer goes |
| `desk` | what is to be done next, and what is to be said |
| `runner` | runs what lies on the desk |
| `shield` | calls user code and keeps inside what goes wrong in it |
| `stream` | our stream: what frames mean, and what is to be said in frames |
| `frames` | it in bare frames, on a socket of their own |
| `unary` | the published calls |
| `grpc_socket` | the published socket, with the stream and the calls |
| `path` | the path of a socket, and how large a message on it may be |
| `server` | a service on its socket, and the signals; start here |
"""
