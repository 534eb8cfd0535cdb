# One image for the command line, the workers and Flower: `docker run --rm qmig --help`, `docker run --rm qmig demo`.
FROM python:3.12.11-slim-bookworm AS build

WORKDIR /src
RUN python -m venv /opt/qmig
# The packages change less often than qmig: they have their own layer.
COPY pyproject.toml constraints.txt ./
RUN sed -n '/^uv==/,/[^\\]$/p' constraints.txt > uv.txt \
    && pip install --no-cache-dir --require-hashes --requirement uv.txt \
    && uv pip install --no-cache --compile-bytecode --python /opt/qmig \
        --require-hashes --constraint constraints.txt --requirement pyproject.toml --extra embedded
COPY LICENSE README.md ./
COPY qmig qmig
COPY workers workers
RUN uv pip install --no-cache --compile-bytecode --python /opt/qmig --no-deps .

FROM python:3.12.11-slim-bookworm

# redis-server is for runs without a broker; tini forwards signals and reaps ended processes.
RUN apt-get update \
    && apt-get install -y --no-install-recommends redis-server tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 qmig
COPY --from=build /opt/qmig /opt/qmig

ENV PATH=/opt/qmig/bin:$PATH \
    PYTHONUNBUFFERED=1
# A number, so that Kubernetes can see that the user is not root.
USER 10001
WORKDIR /home/qmig

# Tells a worker to finish the batch in flight, store its offset and end.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/tini", "--", "qmig"]
CMD ["--help"]
