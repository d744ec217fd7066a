"""The deployment: a production install, two instances behind nginx, a rolling restart under load."""
