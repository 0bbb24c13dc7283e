"""The behaviour of this folder in Flask."""

import behaviour
from flask import Flask, Response, redirect, request, session, url_for
from werkzeug.routing import BaseConverter

METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']


class AnyPath(BaseConverter):
    """Any text, as Werkzeug's own path converter refuses a leading slash."""

    part_isolating = False
    regex = r'[\s\S]*?'


app = Flask(__name__)
app.secret_key = 'not a secret: tests only'
# An unhandled exception must reach the server: what it sends then is under test.
app.config['PROPAGATE_EXCEPTIONS'] = True
app.url_map.merge_slashes = False
app.url_map.converters['any_path'] = AnyPath


def json_response(value):
    return Response(behaviour.dump(value), mimetype='application/json')


@app.route('/echo', methods=METHODS, provide_automatic_options=False)
@app.route('/echo/<any_path:rest>', methods=METHODS, provide_automatic_options=False)
def echo(rest=None):
    return Response(
        behaviour.describe(
            request.environ,
            request.stream.read,
            path_info=request.path,
            scheme=request.scheme,
            host=request.host,
        ),
        mimetype='application/json',
    )


@app.post('/form')
def form():
    return json_response(request.form.to_dict(flat=False))


@app.post('/json')
def receive_json():
    return json_response({'received': request.get_json()})


@app.get('/cookies/set')
def set_cookies():
    response = Response('set\n', mimetype='text/plain')
    for name, value, attributes in behaviour.COOKIES:
        response.set_cookie(name, value, **attributes)
    return response


@app.get('/cookies')
def cookies():
    return json_response(request.cookies.to_dict())


@app.get('/redirect')
def redirect_to_echo():
    return redirect(url_for('echo', _external='absolute' in request.args, **{'from': 'redirect'}))


@app.get('/session')
def count():
    session['count'] = session.get('count', 0) + 1
    return json_response({'count': session['count']})


@app.post('/upload')
def upload():
    file = request.files['file']
    length, sha256 = behaviour.digest(file.stream.read)
    return json_response({'name': file.filename, 'length': length, 'sha256': sha256})


@app.get('/download')
def download():
    size = int(request.args['bytes'])
    headers = behaviour.download_headers(size, request.args.get('length') != 'none')
    return Response(behaviour.download(size), headers=headers)


@app.get('/stream')
def stream():
    return Response(behaviour.stream(request.args['token']), mimetype='text/plain')


@app.post('/confirm')
def confirm():
    behaviour.record('confirm', request.args['token'])
    return json_response({'confirmed': True})


@app.get('/status/<int:code>')
def status(code):
    headers = {'Content-Type': 'text/plain', **behaviour.status_headers(code)}
    response = Response(behaviour.status_text(code), code, headers)
    if code in (204, 304):
        del response.headers['Content-Type']
    return response


@app.get('/head')
def head():
    return Response('hello', mimetype='text/plain')


@app.get('/fail/before')
def fail_before():
    behaviour.fail_before()


@app.get('/fail/after')
def fail_after():
    headers = {'Content-Length': request.args['length']} if 'length' in request.args else {}
    return Response(behaviour.fail_after(), headers=headers, mimetype='text/plain')


@app.get('/endless')
def endless():
    return Response(behaviour.endless(request.args['token']), mimetype='text/plain')


@app.get('/observed')
def observed():
    return json_response({'observed': behaviour.happened('observed', request.args['token'])})


@app.post('/reject')
def reject():
    return Response('too large\n', 413, mimetype='text/plain')


@app.get('/sleep')
def sleep():
    behaviour.sleep(request.args['seconds'])
    return Response('slept\n', mimetype='text/plain')


@app.get('/bigheader')
def big_header():
    headers = {'X-Big': 'x' * int(request.args['bytes'])}
    return Response('big\n', headers=headers, mimetype='text/plain')


@app.get('/latin')
def latin():
    # Headers are native strings, one character per byte (PEP 3333): Ã© is the UTF-8 form of é.
    headers = {'X-Latin': 'caf\xe9', 'X-Utf8': '\xc3\xa9'}
    return Response('latin\n', headers=headers, mimetype='text/plain')


application = behaviour.published(app)
