"""The client itself: one background thread with an event loop, on which every connection of the process lives.

| module | holds |
|---|---|
| `loop` | the thread; how other threads and loops hand work to it; what happens after a fork |
| `endpoints` | what the text of an endpoint means |
| `channel` | one HTTP/2 connection: sizes, keepalive, TLS |
| `methods` | the calls, by name, with their messages |
| `fate` | what became of one attempt, and the error that a caller sees |
| `backoff` | how long to wait before the next attempt |
| `cluster` | all coordinators, the leader among them, and the one loop in which every call is tried |
| `stream` | many tasks of one session over one stream that outlives the node it began on |
| `frame`, `room` | what travels on it as one message; how much may wait |
| `watch` | states of one task until it has ended, across breaks |

Invariant: nothing of a connection is touched outside the thread of the engine.
Invariant: every wait has a limit: of a call `Options.deadline`, of a stream that was served `Options.patience`.
"""
