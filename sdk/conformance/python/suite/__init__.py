"""The published Python client, unmodified, against our cluster.

What is expected comes from the published contract, never from what our server happens to do.
"""
