"""What every application of this folder does in the same way, free of any framework.

The framework applications parse, route and respond with their own means, which is what is under
test, and come here only for bytes, digests and the files through which processes tell each other
what happened.
"""

import hashlib
import json
import os
import re
import time
import wsgiref.validate
from functools import lru_cache

BLOCK_SIZE = 65536
# Byte i of a download is (i * 7 + (i >> 8)) & 255: no short period that would hide lost or swapped
# segments, and yet one block that repeats.
BLOCK = bytes((i * 7 + (i >> 8)) & 255 for i in range(BLOCK_SIZE))

ENDLESS_CHUNK = b'.' * 16384
ENDLESS_LIMIT_S = 15
CONFIRM_LIMIT_S = 10
SLEEP_LIMIT_S = 15
POLL_S = 0.02

# Three cookies that share no attribute but the path: (name, value, keyword arguments of every
# framework's set_cookie). The date holds a comma, which a gateway that joins headers breaks on.
COOKIES = [
    ('first', '1', {'path': '/'}),
    ('second', '2', {'path': '/', 'max_age': 3600, 'httponly': True, 'samesite': 'Lax'}),
    ('third', '3', {'path': '/', 'expires': 'Fri, 01 Jan 2038 00:00:00 GMT', 'samesite': 'Strict'}),
]


def validated(application):
    """Puts wsgiref's judge between server and application where VALIDATE=1 asks for it."""
    if os.environ.get('VALIDATE') == '1':
        return wsgiref.validate.validator(application)
    return application


def published(application):
    """What a framework's module hands to the server."""

    def keep_path_info(environ, start_response):
        # Django and Bottle replace PATH_INFO with their decoded text.
        environ['behaviour.path_info'] = environ.get('PATH_INFO', '')
        return application(environ, start_response)

    return validated(keep_path_info)


def dump(value):
    """JSON in ASCII with sorted keys, so that equal values are equal bytes."""
    return json.dumps(value, sort_keys=True) + '\n'


def digest(read):
    """Length and SHA-256 of what `read(size)` yields until it is empty."""
    length, sha256 = 0, hashlib.sha256()
    while chunk := read(BLOCK_SIZE):
        length += len(chunk)
        sha256.update(chunk)
    return length, sha256.hexdigest()


def describe(environ, read, **view):
    """The answer of /echo: the raw environ, the body that `read` yields, the framework's view."""
    length, sha256 = digest(read)
    return dump(
        {
            'method': environ['REQUEST_METHOD'],
            'script_name': environ.get('SCRIPT_NAME', ''),
            'path_info_hex': environ['behaviour.path_info'].encode('latin-1').hex(),
            'query_string': environ.get('QUERY_STRING'),
            'remote_addr': environ.get('REMOTE_ADDR'),
            'content_type': environ.get('CONTENT_TYPE'),
            'content_length': environ.get('CONTENT_LENGTH'),
            'body_length': length,
            'body_sha256': sha256,
            'headers': {k: v for k, v in environ.items() if k.startswith('HTTP_')},
            **view,
        }
    )


def download(size):
    """`size` bytes of the pattern, a block at a time."""
    for _ in range(size // BLOCK_SIZE):
        yield BLOCK
    if size % BLOCK_SIZE:
        yield BLOCK[: size % BLOCK_SIZE]


@lru_cache
def download_sha256(size):
    sha256 = hashlib.sha256()
    for block in download(size):
        sha256.update(block)
    return sha256.hexdigest()


def download_headers(size, with_length):
    headers = {'Content-Type': 'application/octet-stream', 'X-SHA256': download_sha256(size)}
    if with_length:
        headers['Content-Length'] = str(size)
    return headers


def state_path(kind, token):
    """The file by which processes share that `kind` happened to `token`."""
    if not re.fullmatch(r'[a-z0-9-]+', token):
        raise ValueError(f'Cannot use token: {token!r}, wanted a-z, 0-9 and -')
    return os.path.join(os.environ['STATE_DIR'], f'{kind}-{token}')


def record(kind, token):
    with open(state_path(kind, token), 'w'):
        pass


def happened(kind, token):
    return os.path.exists(state_path(kind, token))


def stream(token):
    """Proves that "one" reaches the client before "two" exists: "two" waits for POST /confirm."""
    yield b'one\n'
    deadline = time.monotonic() + CONFIRM_LIMIT_S
    while not happened('confirm', token):
        if time.monotonic() > deadline:
            yield b'timeout\n'
            return
        time.sleep(POLL_S)
    yield b'two\n'


def endless(token):
    """Writes until the server gives up on the client, and records that it did."""
    deadline = time.monotonic() + ENDLESS_LIMIT_S
    client_went = True
    try:
        while time.monotonic() < deadline:
            yield ENDLESS_CHUNK
            time.sleep(POLL_S)
        client_went = False
    finally:
        if client_went:
            record('observed', token)


def fail_after():
    yield b'partial'
    raise RuntimeError('/fail/after')


def fail_before():
    raise RuntimeError('/fail/before')


def sleep(seconds):
    time.sleep(min(float(seconds), SLEEP_LIMIT_S))


def status_text(code):
    """The body of /status/<code>: none where HTTP allows none."""
    return '' if code in (204, 205, 304) else f'status {code}\n'


def status_headers(code):
    return {'ETag': '"abc"'} if code == 304 else {}


def grouped(pairs):
    """[(name, value), …] as {name: [value, …]}: a form may repeat a field."""
    result = {}
    for name, value in pairs:
        result.setdefault(name, []).append(value)
    return result
