from tests.cli.conftest import prepared, todo

__all__ = ["prepared", "todo"]
