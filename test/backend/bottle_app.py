"""The behaviour of this folder in Bottle."""

import behaviour
from bottle import Bottle, HTTPResponse, redirect, request, response

METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
SECRET = 'not a secret: tests only'

# An unhandled exception must reach the server: what it sends then is under test.
app = Bottle(catchall=False)


def json_response(value):
    response.content_type = 'application/json'
    return behaviour.dump(value)


def text_response(text):
    response.content_type = 'text/plain'
    return text


@app.route('/echo', METHODS, name='echo')
@app.route(r'/echo/<rest:re:[\s\S]*>', METHODS)
def echo(rest=None):
    response.content_type = 'application/json'
    return behaviour.describe(
        request.environ,
        request.body.read,
        path_info=request.path,
        scheme=request.urlparts.scheme,
        host=request.urlparts.netloc,
    )


@app.post('/form')
def form():
    return json_response(behaviour.grouped(request.forms.decode().allitems()))


@app.post('/json')
def receive_json():
    return json_response({'received': request.json})


@app.get('/cookies/set')
def set_cookies():
    for name, value, attributes in behaviour.COOKIES:
        response.set_cookie(name, value, **attributes)
    return text_response('set\n')


@app.get('/cookies')
def cookies():
    return json_response(dict(request.cookies))


@app.get('/redirect')
def redirect_to_echo():
    # Always absolute: Bottle joins the location to the URL of the request.
    redirect(app.get_url('echo', **{'from': 'redirect'}), 302)


@app.get('/session')
def count():
    # Bottle has no session: a signed cookie is what its users take.
    number = request.get_cookie('count', 0, secret=SECRET) + 1
    response.set_cookie('count', number, secret=SECRET, path='/', httponly=True)
    return json_response({'count': number})


@app.post('/upload')
def upload():
    file = request.files.get('file')
    length, sha256 = behaviour.digest(file.file.read)
    return json_response({'name': file.raw_filename, 'length': length, 'sha256': sha256})


@app.get('/download')
def download():
    size = int(request.query['bytes'])
    headers = behaviour.download_headers(size, request.query.get('length') != 'none')
    return HTTPResponse(behaviour.download(size), headers=headers)


@app.get('/stream')
def stream():
    return text_response(behaviour.stream(request.query['token']))


@app.post('/confirm')
def confirm():
    behaviour.record('confirm', request.query['token'])
    return json_response({'confirmed': True})


@app.get('/status/<code:int>')
def status(code):
    headers = {'Content-Type': 'text/plain', **behaviour.status_headers(code)}
    return HTTPResponse(behaviour.status_text(code), code, headers)


@app.get('/head')
def head():
    return text_response('hello')


@app.get('/fail/before')
def fail_before():
    behaviour.fail_before()


@app.get('/fail/after')
def fail_after():
    if 'length' in request.query:
        response.set_header('Content-Length', request.query['length'])
    return text_response(behaviour.fail_after())


@app.get('/endless')
def endless():
    return text_response(behaviour.endless(request.query['token']))


@app.get('/observed')
def observed():
    return json_response({'observed': behaviour.happened('observed', request.query['token'])})


@app.post('/reject')
def reject():
    response.status = 413
    return text_response('too large\n')


@app.get('/sleep')
def sleep():
    behaviour.sleep(request.query['seconds'])
    return text_response('slept\n')


@app.get('/bigheader')
def big_header():
    response.set_header('X-Big', 'x' * int(request.query['bytes']))
    return text_response('big\n')


@app.get('/latin')
def latin():
    # Bottle encodes every header value in UTF-8, so it cannot send X-Latin's single byte E9.
    response.set_header('X-Utf8', '\xe9')
    return text_response('latin\n')


application = behaviour.published(app)
