"""Ready-made applications of a cluster, as Python objects: `Sandbox` runs scripts on the workers."""

from .sandbox import Sandbox, SandboxAttr, SandboxOutput

__all__ = ["Sandbox", "SandboxAttr", "SandboxOutput"]
