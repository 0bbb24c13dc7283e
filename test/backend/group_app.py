"""One of several instances behind a bridge: says which it is, and does what takes one out.

    any path            the name of the instance, INSTANCE of its environment
    /die/<instance>     that instance loses its worker before it has said a word
    /hold               answers once the file GATE is there
    /health             503 while the file ILL is there
"""

import os
import signal
import time

HOLD_LIMIT_S = 15
POLL_S = 0.02
INSTANCE = os.environ['INSTANCE']


def application(environ, start_response):
    path = environ['PATH_INFO']
    status = '200 OK'
    if path == f'/die/{INSTANCE}':
        os.kill(os.getpid(), signal.SIGKILL)
    if path == '/hold':
        deadline = time.monotonic() + HOLD_LIMIT_S
        while not os.path.exists(os.environ['GATE']) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    if path == '/health' and os.path.exists(os.environ['ILL']):
        status = '503 Service Unavailable'
    start_response(status, [('Content-Length', str(len(INSTANCE)))])
    return [INSTANCE.encode()]
