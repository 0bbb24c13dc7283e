"""The four applications at the mounts that uWSGI gives them, for servers that cannot mount."""

import bottle_app
import django_app
import environ_app
import flask_app
from werkzeug.middleware.dispatcher import DispatcherMiddleware

application = DispatcherMiddleware(
    environ_app.application,
    {
        '/django': django_app.application,
        '/flask': flask_app.application,
        '/bottle': bottle_app.application,
    },
)
