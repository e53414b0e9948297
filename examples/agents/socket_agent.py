"""A command agent that talks to its attempt over the worker's Unix socket: steps, progress, artifacts, log lines.

Standard library only. `call` is all that a client needs; copy it.
"""

import http.client
import json
import os
import socket


class UnixConnection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(os.environ["TENUTO_URL"])


def call(route, **body):
    connection = UnixConnection("tenuto")
    headers = {"Authorization": "Bearer " + os.environ["TENUTO_TOKEN"], "Content-Type": "application/json"}
    connection.request("POST", route, json.dumps(body), headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    if response.status != 200:
        # code, message and often a hint, as everywhere else in Tenuto
        raise RuntimeError(f"{route}: {answer['code']}: {answer['message']}")
    return answer


def step(key, work):
    """Runs `work` unless an earlier attempt of this job has recorded its result."""
    found = call("/step", key=key)
    if found["found"]:
        return found["output"]
    output = work()
    call("/step/save", key=key, output=output)
    return output


with open(os.environ["TENUTO_INPUT"], encoding="utf-8") as file:
    numbers = json.load(file)["numbers"]

attempt = int(os.environ["TENUTO_ATTEMPT"])
total = 0
for done, number in enumerate(numbers, 1):
    total += step(f"square {number}", lambda: number * number)
    call("/progress", done=done, total=len(numbers), message=f"squared {number}")
    if attempt == 1 and done == 2:
        call("/log", level="WARNING", message="giving up for now, to show that steps are kept", fields={"done": done})
        raise SystemExit(75)  # retryable

artifact = call("/artifact", name="squares.txt", text=f"sum of squares: {total}\n", mediaType="text/plain")
with open(os.environ["TENUTO_OUTPUT"], "w", encoding="utf-8") as file:
    json.dump({"total": total, "attempt": attempt, "sha256": artifact["sha256"]}, file)
