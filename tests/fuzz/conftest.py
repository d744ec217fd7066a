from tests.cli.conftest import prepared

__all__ = ["prepared"]
