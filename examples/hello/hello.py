"""Ten tasks on the application `hello`, through the published Python client."""

import flamepy

session = flamepy.create_session("hello")
for future in [session.run(f"task {number}".encode()) for number in range(10)]:
    print(future.result())
session.close()
