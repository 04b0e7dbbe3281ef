"""Sends words through the cluster and prints what comes back: client.py hello world"""

import sys

import flamepy

words = sys.argv[1:] or ["hello", "world"]

with flamepy.create_session("echo-python") as session:
    futures = [session.run(word.encode()) for word in words]
    for future in futures:
        print(future.result().decode())
