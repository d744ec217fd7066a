"""The contract of the task repository: one suite, run on every adapter."""
