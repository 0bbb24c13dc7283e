"""A page of Django as many sites have: session, ORM over SQLite, template. One project in one file."""

import os

from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=['*'],
    DATABASES={
        'default': {
            'ENGINE': 'django.db.backends.sqlite3',
            'NAME': os.path.join(os.environ['STATE_DIR'], 'bench.sqlite3'),
            'CONN_MAX_AGE': None,
        }
    },
    INSTALLED_APPS=['django.contrib.sessions'],
    MIDDLEWARE=[
        'django.middleware.security.SecurityMiddleware',
        'django.contrib.sessions.middleware.SessionMiddleware',
        'django.middleware.common.CommonMiddleware',
        'django.middleware.csrf.CsrfViewMiddleware',
    ],
    DEFAULT_AUTO_FIELD='django.db.models.BigAutoField',
    ROOT_URLCONF=__name__,
    SECRET_KEY='not a secret: bench only',
    TEMPLATES=[{'BACKEND': 'django.template.backends.django.DjangoTemplates'}],
)

from django.core.wsgi import get_wsgi_application  # noqa: E402

application = get_wsgi_application()

from django.contrib.sessions.models import Session  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.template import engines  # noqa: E402
from django.urls import path  # noqa: E402

ARTICLES = 20
TEMPLATE = engines['django'].from_string(
    """<!doctype html>
<title>Articles</title>
<p>Hello, {{ name }}
<table>
{% for article in articles %}
<tr class="{% cycle 'odd' 'even' %}"><td>{{ article.title }}<td>{{ article.views }}
{% endfor %}
</table>
"""
)


class Article(models.Model):
    title = models.CharField(max_length=100)
    views = models.IntegerField()

    class Meta:
        app_label = 'bench'


def log_in(request):
    request.session['name'] = 'visitor'
    return HttpResponse('logged in\n')


def page(request):
    context = {
        'name': request.session.get('name', 'stranger'),
        'articles': Article.objects.order_by('-views'),
    }
    return HttpResponse(TEMPLATE.render(context, request))


urlpatterns = [path('log-in', log_in), path('', page)]


def fill():
    with connection.schema_editor() as editor:
        editor.create_model(Session)
        editor.create_model(Article)
    Article.objects.bulk_create(
        Article(title=f'Article <{i}>', views=i * 37 % ARTICLES) for i in range(ARTICLES)
    )
    # uWSGI forks its workers after this, and SQLite's connections must not cross a fork.
    connection.close()


fill()
