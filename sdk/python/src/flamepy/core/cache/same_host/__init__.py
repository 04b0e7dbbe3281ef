"""Objects of a cache on the same host, through memory that it shares.

Values are written into that memory and read where they lie; only a few words travel, over a unix socket. Where a cache
shares none, or the memory is full, or an object is a table, everything goes over its port as from elsewhere: a designed
path, which the debug log of `flamepy.cache` tells of and the cache counts (`flame_cache_arena_operations_total`).

| module | holds |
|---|---|
| `transfer` | putting and reading; start here |
| `hosts` | which caches are on this host, and connections to them |
| `link` | one connection |
| `mapping` | the memory, and what lies in it |

**Invariant:** memory that is read stays as it is until nobody reads it, in this process and those that it forks.
"""

from .mapping import Lent
from .transfer import fetch, put

__all__ = ["Lent", "fetch", "put"]
