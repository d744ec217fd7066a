# docker build -t todo .
# The production install of docs/how-to/deploy.md, without build tools. Not run here: there is no container engine.

# For a build that can be repeated to the byte, name the image by its digest:
# --build-arg PYTHON_IMAGE=python:3.13-slim-trixie@sha256:... (from `docker buildx imagetools inspect`).
ARG PYTHON_IMAGE=python:3.13-slim-trixie

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS build
WORKDIR /opt/todo
COPY requirements.txt requirements-build.txt ./
RUN python -m venv /opt/build && python -m venv .venv \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements-build.txt \
    && .venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY domain domain
COPY application application
COPY adapters adapters
COPY entrypoints entrypoints
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /opt/build . \
    && .venv/bin/pip install --no-cache-dir --no-deps /opt/build/todo_backend-*.whl \
    && .venv/bin/pip uninstall --yes pip

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE}
# 1000 is the user that Hugging Face runs containers as. Nothing is written but temporary files.
RUN useradd --uid 1000 --create-home todo
WORKDIR /opt/todo
COPY --from=build /opt/todo/.venv .venv
# Platforms that choose the port set PORT, which takes precedence.
ENV PATH=/opt/todo/.venv/bin:$PATH PYTHONUNBUFFERED=1 HOST=0.0.0.0 PORT=8000
USER 1000
EXPOSE 8000
# Checks the process, not the database: a probe must neither keep Neon awake nor restart a process that waits for it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/healthz'); exit(c.getresponse().status != 200)"]
# No ENTRYPOINT: some platforms replace it and others do not, so commands are the same everywhere, like `todo migrate`.
CMD ["todo", "serve"]
