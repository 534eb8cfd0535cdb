# One image for the command line, the workers and Flower: `docker run --rm qmig --help`.
FROM python:3.12.11-slim-bookworm AS build

WORKDIR /src
RUN python -m venv /opt/qmig
COPY pyproject.toml README.md ./
COPY qmig qmig
COPY workers workers
RUN /opt/qmig/bin/pip install --no-cache-dir '.[embedded]'

FROM python:3.12.11-slim-bookworm

# redis-server is for runs without a broker; tini passes signals on and reaps what they leave.
RUN apt-get update \
    && apt-get install -y --no-install-recommends redis-server tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 qmig
COPY --from=build /opt/qmig /opt/qmig

ENV PATH=/opt/qmig/bin:$PATH \
    PYTHONUNBUFFERED=1
USER qmig
WORKDIR /home/qmig

# Asks a worker to let the batch in flight end, store its offset and leave.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/tini", "--", "qmig"]
CMD ["--help"]
