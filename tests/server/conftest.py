from tests.cli.conftest import todo

__all__ = ["todo"]
