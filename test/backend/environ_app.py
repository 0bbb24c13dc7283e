"""The application at the root: shows its environ, and says what frameworks refuse to say.

    any path                       the environ as JSON
    /raw/respond?spec=<JSON>       {"status", "headers": [[name, value]], "chunks": [text], "write"}
                                   exactly as told; texts are latin-1; "write": true sends the
                                   chunks through the write() callable
    /raw/read?bytes=N              answers after N bytes of the body, the rest unread
    /raw/silent                    no start_response, no body
"""

import json
from urllib.parse import parse_qs

from behaviour import digest, dump, validated


def body_reader(environ):
    """`read(size)` that stops at CONTENT_LENGTH, beyond which PEP 3333 forbids to read."""
    length = environ.get('CONTENT_LENGTH', '')
    remaining = int(length) if length.isdigit() else 0

    def read(size):
        nonlocal remaining
        chunk = environ['wsgi.input'].read(min(size, remaining)) if remaining else b''
        remaining -= len(chunk)
        return chunk

    return read


def show_environ(environ, start_response, _query):
    length, sha256 = digest(body_reader(environ))
    shown = {key: value for key, value in environ.items() if isinstance(value, str)}
    body = dump({**shown, 'body_length': length, 'body_sha256': sha256}).encode()
    headers = [('Content-Type', 'application/json'), ('Content-Length', str(len(body)))]
    start_response('200 OK', headers)
    return [body]


def respond(_environ, start_response, query):
    spec = json.loads(query['spec'][0])
    write = start_response(spec['status'], [tuple(pair) for pair in spec.get('headers', [])])
    chunks = [chunk.encode('latin-1') for chunk in spec.get('chunks', [])]
    if not spec.get('write'):
        return chunks
    for chunk in chunks:
        write(chunk)
    return []


def read_some(environ, start_response, query):
    chunk = body_reader(environ)(int(query['bytes'][0]))
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [f'read {len(chunk)}\n'.encode()]


def silent(_environ, _start_response, _query):
    return []


ROUTES = {'/raw/respond': respond, '/raw/read': read_some, '/raw/silent': silent}


def handle(environ, start_response):
    route = ROUTES.get(environ.get('PATH_INFO', ''), show_environ)
    return route(environ, start_response, parse_qs(environ.get('QUERY_STRING', '')))


application = validated(handle)
