"""Against a genuine Better Auth server and in a real browser. Run by `make e2e`, which installs both."""
