"""A WebSocket application on uWSGI's own API, which hands out the bare connection.

    /echo                  says back what it is told, as text; /echo?binary as binary
    /talk?count=N&bytes=N  sends so many messages of so many bytes, and ends
    /listen                says 'ready', and no more
    /environ               the environ as JSON, in one message
    /count                 how many sockets are open, in HTTP
    /answer?status=TEXT    that status in HTTP, as any path does without HTTP_UPGRADE; the environ is
                           the body
"""

import json
import threading
from urllib.parse import parse_qs

import uwsgi

lock = threading.Lock()
open_sockets = 0


def count(change):
    global open_sockets
    with lock:
        open_sockets += change


def strings_of(environ):
    return json.dumps({key: value for key, value in environ.items() if isinstance(value, str)})


def echo(_environ, query):
    send = uwsgi.websocket_send_binary if 'binary' in query else uwsgi.websocket_send
    while True:
        send(uwsgi.websocket_recv())


def talk(_environ, query):
    for index in range(int(query['count'][0])):
        uwsgi.websocket_send(str(index).rjust(int(query['bytes'][0]), '.').encode())


def listen(_environ, _query):
    uwsgi.websocket_send(b'ready')
    while True:
        uwsgi.websocket_recv()


def show_environ(environ, _query):
    uwsgi.websocket_send(strings_of(environ).encode())
    uwsgi.websocket_recv()


SOCKETS = {'/echo': echo, '/talk': talk, '/listen': listen, '/environ': show_environ}


def application(environ, start_response):
    path = environ['PATH_INFO']
    query = parse_qs(environ['QUERY_STRING'], keep_blank_values=True)
    if path in SOCKETS and 'HTTP_UPGRADE' in environ:
        uwsgi.websocket_handshake()
        count(1)
        try:
            SOCKETS[path](environ, query)
        except OSError:
            pass  # The client has gone, with a close frame or without.
        finally:
            count(-1)
        return []

    body = (str(open_sockets) if path == '/count' else strings_of(environ)).encode()
    headers = [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))]
    start_response(query.get('status', ['200 OK'])[0], headers)
    return [body]
