"""Cache nodes that nobody has named here: those that other nodes know of.

Each node that serves a call is asked once, on a thread beside; again after any has gone away, since others may have come.
When none serves that is known, the coordinators are asked. Caches and clusters of another make do not say.
"""

from __future__ import annotations

import threading
from typing import Callable, Dict, List, Set

from . import nodes


class Known:
    """What nodes have told of each other."""

    def __init__(self, ask: Callable[[str], List[str]], ask_cluster: Callable[[], List[str]]) -> None:
        self._ask = ask
        self._ask_cluster = ask_cluster
        self._lock = threading.Lock()
        self._asked: Set[str] = set()
        self._told: Dict[str, List[str]] = {}

    def on_served(self, endpoint: str) -> None:
        """This node serves: it may know others."""
        where = nodes.location(endpoint)
        if where in self._asked:
            return
        with self._lock:
            if where in self._asked:
                return
            self._asked.add(where)
        threading.Thread(target=self._learn, args=(endpoint, where), name="flamepy-nodes", daemon=True).start()

    def on_broken(self) -> None:
        """Some node is gone."""
        with self._lock:
            self._asked.clear()

    def others(self) -> List[str]:
        """All that were told of."""
        with self._lock:
            return list(dict.fromkeys(one for told in self._told.values() for one in told))

    def ask_cluster(self) -> bool:
        """None of those that are known serves. Whether the coordinators know of others."""
        before = set(map(nodes.location, self.others()))
        told = self._ask_cluster()
        with self._lock:
            self._told["cluster"] = told
        return not before.issuperset(map(nodes.location, told))

    def _learn(self, endpoint: str, where: str) -> None:
        told = self._ask(endpoint)
        with self._lock:
            if told:
                self._told[where] = told


def _ask(endpoint: str) -> List[str]:
    from .own import other_nodes

    return other_nodes(endpoint)


def _ask_cluster() -> List[str]:
    from .cluster import cache_nodes

    return cache_nodes()


known = Known(_ask, _ask_cluster)
