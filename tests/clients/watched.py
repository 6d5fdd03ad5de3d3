"""Runs a command in a terminal of its own and tells what it did to it.

watched.py COLUMNS ROWS WANTED END COMMAND...
Waits until WANTED is on the screen, then ends the command by END: `q` is typed, `TERM` is a signal, and
`kill:PID:WORDS` ends that process first and waits for WORDS, then types `q`. One JSON object comes out.
"""

import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time

PATIENCE = 60

columns, rows, wanted, end, *command = sys.argv[1:]
ours, theirs = os.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))
before = termios.tcgetattr(theirs)
child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
output = b""


def read_until(done):
    global output
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            child.kill()
            sys.exit(f"waited {PATIENCE} s; on the screen: {output[-2000:]!r}")
        if select.select([ours], [], [], 0.05)[0]:
            output += os.read(ours, 65536)


read_until(lambda: wanted.encode() in output)
during = termios.tcgetattr(theirs)
if end.startswith("kill:"):
    _, pid, words = end.split(":", 2)
    os.kill(int(pid), signal.SIGKILL)
    read_until(lambda: words.encode() in output)
if end == "TERM":
    child.send_signal(signal.SIGTERM)
else:
    os.write(ours, b"q")
read_until(lambda: child.poll() is not None)
while select.select([ours], [], [], 0.2)[0]:
    output += os.read(ours, 65536)
print(
    json.dumps(
        {
            "code": child.returncode,
            "output": output.decode("utf-8", "replace"),
            "is_as_before": termios.tcgetattr(theirs) == before,
            "took_keys": not during[3] & (termios.ICANON | termios.ECHO),
        }
    )
)
