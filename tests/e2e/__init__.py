"""End-to-end tests with a genuine Better Auth server and a real browser. Run by `make e2e`, which installs both."""
