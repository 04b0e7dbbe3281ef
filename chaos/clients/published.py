"""A program on the published flamepy 0.6.0 that goes on while coordinators die: it knows one endpoint and never tries again.

Usage: published.py ENDPOINT APPLICATION TASKS TASKS_PER_SECOND. Eight callers, each of which waits for its result; says
`running` once results come, and prints one line of JSON at the end.
"""

import sys
import threading
import time

import flamepy
from flamepy.core.types import SessionAttributes
from story import Story

CALLERS = 8

endpoint, application, tasks, pace = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])

session = flamepy.connect(endpoint).create_session(SessionAttributes(application=application))
story = Story("published", tasks)
began = time.monotonic()


def call(numbers):
    for number in numbers:
        time.sleep(max(0.0, began + number / pace - time.monotonic()))
        sent = story.input(number)
        try:
            got = session.invoke(sent)
            story.ended(sent, lambda got=got: got, None)
        except Exception as error:  # told at the end: nobody may have one
            story.ended(sent, None, error)


threads = [threading.Thread(target=call, args=(range(at, tasks, CALLERS),)) for at in range(CALLERS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
session.close()
story.tell()
