"""Protobuf modules, written by scripts/generate.py and checked in: users need no compiler."""
