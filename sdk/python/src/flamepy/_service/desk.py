"""What is to be done next, and what is to be said: shared by the runner and whoever serves the socket, who brings orders
and takes answers away.

**Invariant:** a task that was taken off the desk has begun and is answered with its result; one that has not been taken
is answered as skipped when it is cancelled or withdrawn. Both are decided under one lock.
**Invariant:** nothing that can wait is done under the lock.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Callable, Deque, List, Optional, Sequence, Set, Tuple

from .orders import Order, Outbox, Result, TaskOrder

Said = Tuple[Order, Result]


class Ended(Exception):
    """Nothing more will be begun."""


class Desk:
    """The desk of one process: its streams and calls share the one place where user code runs."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._order_came = threading.Condition(self.lock)
        self._waiting: Deque[Order] = deque()
        self._running: Optional[Order] = None
        self._outboxes: Set[Outbox] = set()
        self._is_ending = False
        self._wake: Optional[Callable[[], None]] = None

    # ── the socket's side ───────────────────────────────────────────────────────────────────────────────────────────

    def open(self, outbox: Outbox) -> None:
        """Somebody brings orders from now on."""
        with self.lock:
            self._outboxes.add(outbox)
            if self._is_ending:
                outbox.on_ending()

    def close(self, outbox: Outbox) -> None:
        """Nobody reads the answers any more: what has not begun is forgotten, what runs is told."""
        with self.lock:
            self._outboxes.discard(outbox)
            self._waiting = deque(order for order in self._waiting if order.outbox is not outbox)
            running = self._running
        if isinstance(running, TaskOrder) and running.outbox is outbox:
            running.cancellation._cancel()

    def bring(self, orders: Sequence[Order]) -> None:
        """Brings orders. When the service is ending, tasks are answered as skipped and nothing else is done."""
        with self.lock:
            if self._is_ending:
                for order in orders:
                    if isinstance(order, TaskOrder):
                        order.outbox.put(order, None)
                return
            self._waiting.extend(orders)
            self._order_came.notify()
            wake = self._wake
        if wake is not None:
            wake()

    def cancel(self, outbox: Outbox, token: int) -> None:
        """Nobody wants this task any more."""
        with self.lock:
            running = self._running
            is_running = isinstance(running, TaskOrder) and running.outbox is outbox and running.token == token
            if not is_running:
                self._skip(lambda task: task.outbox is outbox and task.token == token)
        if is_running and isinstance(running, TaskOrder):
            running.cancellation._cancel()

    def withdraw(self, outbox: Outbox) -> None:
        """Answers everything of this stream that has not begun as skipped."""
        with self.lock:
            self._skip(lambda task: task.outbox is outbox)

    def end(self) -> None:
        """Nothing is begun any more. What runs is still answered."""
        with self.lock:
            self._skip(lambda task: True)
            self._waiting.clear()
            self._is_ending = True
            self._order_came.notify_all()
            for outbox in self._outboxes:
                outbox.on_ending()
            wake = self._wake
        if wake is not None:
            wake()

    def is_busy(self) -> bool:
        """Whether an order runs or waits."""
        return self._running is not None or bool(self._waiting)

    def is_finished(self, outbox: Outbox) -> bool:
        """Whether no answer will be put into `outbox` any more. To be called with the lock held."""
        return self._is_ending and (self._running is None or self._running.outbox is not outbox)

    # ── the runner's side ───────────────────────────────────────────────────────────────────────────────────────────

    def wait(self, said: Optional[Said]) -> Order:
        """Says what became of the order before, if there was one, and waits for the next. Raises [Ended]."""
        with self.lock:
            self._answer(said)
            while True:
                order = self._take()
                if order is not None:
                    return order
                self._order_came.wait()

    def poll(self, said: Optional[Said]) -> Optional[Order]:
        """As [wait], but None when there is no order now."""
        with self.lock:
            self._answer(said)
            return self._take()

    def wake_with(self, wake: Optional[Callable[[], None]]) -> None:
        """Calls `wake` whenever there may be something to [poll]."""
        with self.lock:
            self._wake = wake

    # ── under the lock ──────────────────────────────────────────────────────────────────────────────────────────────

    def _answer(self, said: Optional[Said]) -> None:
        self._running = None
        if said is not None:
            order, result = said
            order.outbox.put(order, result)

    def _take(self) -> Optional[Order]:
        if self._waiting:
            self._running = self._waiting.popleft()
            return self._running
        if self._is_ending:
            # The last answer is there; whoever waits for another one need not.
            for outbox in self._outboxes:
                outbox.on_ending()
            raise Ended
        return None

    def _skip(self, is_meant: Callable[[TaskOrder], bool]) -> None:
        """Answers the waiting tasks that are meant as skipped."""
        kept: List[Order] = []
        for order in self._waiting:
            if isinstance(order, TaskOrder) and is_meant(order):
                order.outbox.put(order, None)
            else:
                kept.append(order)
        if len(kept) < len(self._waiting):
            self._waiting = deque(kept)
