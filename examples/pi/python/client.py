"""Estimates pi on all workers: client.py [TASKS] [POINTS-OF-EACH]"""

import sys

import flamepy
from pi import Points

tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 100
points = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000

with flamepy.create_session("pi-python", codec="json", output=int) as session:
    work = [Points(number=points, seed=seed) for seed in range(tasks)]
    inside = sum(session.map(work, ordered=False))

print(f"pi is about {4 * inside / (tasks * points):.5f}, by {tasks} tasks of {points} points each")
