"""The published protocol's modules by their published names, for programs that speak it themselves."""
