"""The behaviour of this folder in Django: a whole project in one file."""

import json

import behaviour
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=['*'],
    DATABASES={},
    # An unhandled exception must reach the server: what it sends then is under test.
    DEBUG_PROPAGATE_EXCEPTIONS=True,
    APPEND_SLASH=False,
    MIDDLEWARE=[
        'django.contrib.sessions.middleware.SessionMiddleware',
        'django.middleware.common.CommonMiddleware',
        'django.middleware.csrf.CsrfViewMiddleware',
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY='not a secret: tests only',
    SESSION_ENGINE='django.contrib.sessions.backends.signed_cookies',
    TEMPLATES=[{'BACKEND': 'django.template.backends.django.DjangoTemplates'}],
)

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse, StreamingHttpResponse  # noqa: E402
from django.shortcuts import redirect  # noqa: E402
from django.template import engines  # noqa: E402
from django.urls import path, re_path, reverse  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from django.views.decorators.http import require_GET, require_POST, require_safe  # noqa: E402

project = get_wsgi_application()

FORM = engines['django'].from_string(
    """<!doctype html>
<title>Form</title>
<form method="post" enctype="multipart/form-data">
  {% csrf_token %}
  <label>Note <input name="note"></label>
  <label>File <input name="file" type="file"></label>
  <button>Send</button>
</form>
"""
)


def json_response(value):
    return HttpResponse(behaviour.dump(value), content_type='application/json')


def text_response(text, **options):
    return HttpResponse(text, content_type='text/plain', **options)


def text_stream(chunks, **options):
    return StreamingHttpResponse(chunks, content_type='text/plain', **options)


def file_of(request):
    """Name, length and digest of the uploaded file, read in chunks."""
    if 'file' not in request.FILES:
        return None
    file = request.FILES['file']
    length, sha256 = behaviour.digest(file.read)
    return {'name': file.name, 'length': length, 'sha256': sha256}


@csrf_exempt
def echo(request):
    return HttpResponse(
        behaviour.describe(
            request.environ,
            request.read,
            path_info=request.path_info,
            scheme=request.scheme,
            host=request.get_host(),
        ),
        content_type='application/json',
    )


@csrf_exempt
@require_POST
def form(request):
    return json_response(dict(request.POST.lists()))


@csrf_exempt
@require_POST
def receive_json(request):
    return json_response({'received': json.loads(request.body)})


@require_GET
def set_cookies(request):
    response = text_response('set\n')
    for name, value, attributes in behaviour.COOKIES:
        response.set_cookie(name, value, **attributes)
    return response


@require_GET
def cookies(request):
    return json_response(request.COOKIES)


@require_GET
def redirect_to_echo(request):
    location = reverse('echo') + '?from=redirect'
    return redirect(request.build_absolute_uri(location) if 'absolute' in request.GET else location)


@require_GET
def count(request):
    request.session['count'] = request.session.get('count', 0) + 1
    return json_response({'count': request.session['count']})


def csrf(request):
    if request.method != 'POST':
        return HttpResponse(FORM.render({}, request))
    fields = {name: values for name, values in request.POST.lists() if name == 'note'}
    return json_response({'fields': fields, 'file': file_of(request)})


@csrf_exempt
@require_POST
def upload(request):
    return json_response(file_of(request))


@require_safe
def download(request):
    size = int(request.GET['bytes'])
    headers = behaviour.download_headers(size, request.GET.get('length') != 'none')
    return StreamingHttpResponse(behaviour.download(size), headers=headers)


@require_GET
def stream(request):
    return text_stream(behaviour.stream(request.GET['token']))


@csrf_exempt
@require_POST
def confirm(request):
    behaviour.record('confirm', request.GET['token'])
    return json_response({'confirmed': True})


@require_safe
def status(request, code):
    response = text_response(
        behaviour.status_text(code), status=code, headers=behaviour.status_headers(code)
    )
    if code in (204, 304):
        del response.headers['Content-Type']
    return response


@require_safe
def head(request):
    # Django leaves the body of an answer to HEAD to the server, and uWSGI sends it.
    return text_response('hello')


@require_GET
def fail_before(request):
    behaviour.fail_before()


@require_GET
def fail_after(request):
    headers = {'Content-Length': request.GET['length']} if 'length' in request.GET else {}
    return text_stream(behaviour.fail_after(), headers=headers)


@require_GET
def endless(request):
    return text_stream(behaviour.endless(request.GET['token']))


@require_GET
def observed(request):
    return json_response({'observed': behaviour.happened('observed', request.GET['token'])})


@csrf_exempt
@require_POST
def reject(request):
    return text_response('too large\n', status=413)


@require_GET
def sleep(request):
    behaviour.sleep(request.GET['seconds'])
    return text_response('slept\n')


@require_GET
def big_header(request):
    return text_response('big\n', headers={'X-Big': 'x' * int(request.GET['bytes'])})


@require_GET
def latin(request):
    # Headers are native strings, one character per byte (PEP 3333): Ã© is the UTF-8 form of é.
    return text_response('latin\n', headers={'X-Latin': 'caf\xe9', 'X-Utf8': '\xc3\xa9'})


urlpatterns = [
    re_path(r'\Aecho/[\s\S]*\Z', echo),
    path('echo', echo, name='echo'),
    path('form', form),
    path('json', receive_json),
    path('cookies/set', set_cookies),
    path('cookies', cookies),
    path('redirect', redirect_to_echo),
    path('session', count),
    path('csrf', csrf),
    path('upload', upload),
    path('download', download),
    path('stream', stream),
    path('confirm', confirm),
    path('status/<int:code>', status),
    path('head', head),
    path('fail/before', fail_before),
    path('fail/after', fail_after),
    path('endless', endless),
    path('observed', observed),
    path('reject', reject),
    path('sleep', sleep),
    path('bigheader', big_header),
    path('latin', latin),
]

application = behaviour.published(project)
