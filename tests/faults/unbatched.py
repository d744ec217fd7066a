"""`todo` without batching. It has no option for that, so the container is changed before it runs."""

from entrypoints.cli.main import main
from entrypoints.container import Container

if __name__ == "__main__":
    Container.database.add_kwargs(batching=False)
    main()
