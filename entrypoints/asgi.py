"""The application as an ASGI object, `app`, for platforms that import one instead of running `todo serve`.

The only module whose import does something: it reads the settings, which must include DATABASE_URL, configures logging
and creates the application. There are no metrics, and the graceful shutdown is the platform's.
"""

from entrypoints import settings
from entrypoints.server import factory

_configured = settings.load()
if _configured.database_url is None:
    raise settings.InvalidSettings("DATABASE_URL: must be set")

app = factory.application(_configured)
