"""`todo` without batching, and without remembering the states of tasks. There is no option for the former, so the
container is changed before it runs."""

from entrypoints.cli.main import main
from entrypoints.container import Container

if __name__ == "__main__":
    Container.database.add_kwargs(batching=False)
    Container.tasks.add_kwargs(remembered=0)
    main()
