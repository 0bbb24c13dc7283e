"""What is asked in most rows: as little work as an application can do, and large bodies."""

BLOCK = bytes(65536)


def application(environ, start_response):
    path = environ['PATH_INFO']
    if path.startswith('/download/'):
        return download(int(path.removeprefix('/download/')), start_response)
    if path == '/upload':
        return upload(environ['wsgi.input'], start_response)
    return answer(b'Hello, world\n', start_response)


def answer(body, start_response):
    headers = [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))]
    start_response('200 OK', headers)
    return [body]


def download(blocks, start_response):
    """As many blocks of 64 KiB as the path says."""
    headers = [
        ('Content-Type', 'application/octet-stream'),
        ('Content-Length', str(blocks * len(BLOCK))),
    ]
    start_response('200 OK', headers)
    return (BLOCK for _ in range(blocks))


def upload(body, start_response):
    """Reads all of it, keeps nothing, says how much it was."""
    length = 0
    while chunk := body.read(65536):
        length += len(chunk)
    return answer(f'{length}\n'.encode(), start_response)
