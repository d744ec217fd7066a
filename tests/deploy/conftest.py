"""A production install with two instances, from nginx to the database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy import installation
from tests.deploy.nginx import Nginx, nginx
from tests.deploy.service import Service, free_instance, started
from tests.faults.cluster import Cluster, running
from tests.faults.pgbouncer import running_pgbouncer
from tests.faults.scenario import SECRET


@dataclass(frozen=True)
class Site:
    """nginx, the instances behind it, and their database."""

    nginx: Nginx
    instances: tuple[Service, Service]
    cluster: Cluster


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that is /opt/todo in production, with one release in it."""
    folder = tmp_path_factory.mktemp("opt")
    release = folder / "releases/now"
    release.mkdir(parents=True)
    installation.install(release)
    (folder / "current").symlink_to("releases/now")
    return folder


@pytest.fixture(scope="session")
async def site(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    cluster = Cluster(folder / "data")
    async with running(cluster), running_pgbouncer(cluster, folder) as bouncer:
        settings = {
            "DATABASE_URL": bouncer.url,
            "DATABASE_PREPARED_STATEMENTS": "false",
            "BETTER_AUTH_SECRET": SECRET,
            "METRICS_PORT": "9131",  # in the file that both instances share: the unit's own must win
        }
        (installed / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        async with (
            started(installed, free_instance()) as first,
            started(installed, free_instance()) as second,
            nginx(folder / "nginx", first.port, second.port) as proxy,
        ):
            yield Site(proxy, (first, second), cluster)
