"""Sessions and services whose values are Python objects, with the names of the published package.

Values travel as pickles, in both directions: whoever may submit tasks to such a service, or may answer them, can run
code where they are read. Use it where all of them trust each other and have the same Python;
`flamepy.FlameInstance` with its typed JSON is for everything else.

| module | holds |
|---|---|
| `client` | `Session`: a session whose inputs, outputs and context are objects |
| `instance` | `FlameInstance`: the service of such a session |
| `_context` | how a context travels |
"""

from .client import Session
from .instance import FlameInstance

__all__ = ["FlameInstance", "Session"]
