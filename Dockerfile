# One image for every service; the command chooses which: python -m services.gateway, …parser, …validator, …writer,
# …webhooks, …gateway.requests, …gateway.sources, or the one-shots python -m deploy.provision, deploy.mongodb_roles,
# deploy.certificates, deploy.doctor and services.gateway.bootstrap. The same bytes each time: docker build
# --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) --output type=image,rewrite-timestamp=true, with both FROM
# lines pinned to a digest.

FROM python:3.12-slim AS build
ARG SOURCE_DATE_EPOCH=0
ENV SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH PYTHONHASHSEED=0
RUN python -m venv /opt/rowdock
ENV PATH=/opt/rowdock/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY pyproject.toml requirements.lock README.md LICENSE ./
# The dependencies in a layer of their own, which a change of the code leaves alone.
RUN mkdir libs services && touch libs/__init__.py services/__init__.py \
  && pip install --constraint requirements.lock ".[all]"
COPY libs libs
COPY services services
RUN pip install --no-deps --force-reinstall . && python -m compileall -q --invalidation-mode unchecked-hash /opt/rowdock/lib

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin rowdock
COPY --from=build /opt/rowdock /opt/rowdock
WORKDIR /app
COPY deploy/__init__.py deploy/certificates.py deploy/kafka_acls.py deploy/kafka_rights.py deploy/mongodb_roles.py \
  deploy/provision.py deploy/
COPY deploy/doctor/ deploy/doctor/
COPY deploy/migrations/ deploy/migrations/
ENV PATH=/opt/rowdock/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    POLARS_MAX_THREADS=1 \
    ROWDOCK_HOST=0.0.0.0 \
    ROWDOCK_PORT=8000 \
    ROWDOCK_OPS_PORT=9464
USER 10001
# Clients at 8000 (gateway); health and metrics at 9464 (every service), not for publishing.
EXPOSE 8000 9464
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9464/health/live', timeout=5)"]
# A replica is named after its container, which keeps its name over restarts.
ENTRYPOINT ["/bin/sh", "-c", "export ROWDOCK_INSTANCE=\"${ROWDOCK_INSTANCE:-$HOSTNAME}\" && exec \"$@\"", "rowdock"]
CMD ["python", "-m", "services.gateway"]
