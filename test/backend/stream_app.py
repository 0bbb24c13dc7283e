"""Downloads with the headers that say how a gateway may buffer them, and what came of uploads.

    /download?bytes=N[&buffering=VALUE][&type=TYPE]   N bytes of the pattern, X-Accel-Buffering: VALUE
    /events?token=T[&type=TYPE]                       "one", and "two" once /confirm?token=T was asked for
    /confirm?token=T
    any other path                                    CONTENT_LENGTH, and the digest of the body
"""

from urllib.parse import parse_qs

import behaviour


def application(environ, start_response):
    query = {key: values[0] for key, values in parse_qs(environ['QUERY_STRING']).items()}
    headers = [('Content-Type', query.get('type', 'application/octet-stream'))]
    if 'buffering' in query:
        headers.append(('X-Accel-Buffering', query['buffering']))
    if environ['PATH_INFO'] == '/download':
        size = int(query['bytes'])
        start_response('200 OK', [*headers, ('Content-Length', str(size))])
        return behaviour.download(size)
    start_response('200 OK', headers)
    if environ['PATH_INFO'] == '/events':
        return behaviour.stream(query['token'])
    if environ['PATH_INFO'] == '/confirm':
        behaviour.record('confirm', query['token'])
        return [b'confirmed']
    length, sha256 = behaviour.digest(environ['wsgi.input'].read)
    announced = environ.get('CONTENT_LENGTH')
    return [behaviour.dump({'announced': announced, 'length': length, 'sha256': sha256}).encode()]
