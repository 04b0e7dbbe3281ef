"""A program on our flamepy that goes on while coordinators die.

Usage: ours.py ENDPOINTS APPLICATION TASKS TASKS_PER_SECOND. Submits tasks at that pace, compares every result with its
input, says `running` once results come, and prints one line of JSON at the end.
"""

import sys
import time

import flamepy
from story import Story

endpoints, application, tasks, pace = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])

with flamepy.connect(endpoints.split(",")) as connection:
    session = connection.create_session(flamepy.SessionAttributes(application=application))
    story = Story("ours", tasks)
    began = time.monotonic()
    futures = []
    for number in range(tasks):
        time.sleep(max(0.0, began + number / pace - time.monotonic()))
        sent = story.input(number)
        future = session.run(sent)
        future.add_done_callback(lambda future, sent=sent: story.ended(sent, future.result, future.exception()))
        futures.append(future)
    for future in futures:
        future.exception()
    session.close()
    story.tell()
