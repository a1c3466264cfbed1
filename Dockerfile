# monitord (the default target) and the sample application (target `shop`), from hash-locked packages.
# The wheel is built here too, so the result holds neither Node.js nor a build tool nor pip's cache.
ARG PYTHON=python:3.13-slim

# --- the wheel: the page is bundled by the pinned Node.js of requirements/build.lock
FROM ${PYTHON} AS wheel
WORKDIR /src
COPY requirements/build.lock requirements/
RUN python -m venv /build && /build/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/build.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY config config/
COPY sql sql/
COPY web web/
COPY monitord monitord/
RUN /build/bin/pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir /wheels .

# --- what monitord runs on; the environment itself holds no pip
FROM ${PYTHON} AS packages
COPY requirements/serve.lock requirements/
RUN python -m venv --without-pip /opt/monitord && pip --python /opt/monitord/bin/python install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/serve.lock
COPY --from=wheel /wheels /wheels
RUN pip --python /opt/monitord/bin/python install --no-cache-dir --disable-pip-version-check --no-deps --no-index /wheels/*.whl

# --- the same and what the sample application needs
FROM packages AS shop-packages
COPY requirements/demo.lock requirements/
RUN pip --python /opt/monitord/bin/python install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/demo.lock

# --- a user without rights and one folder that is theirs
FROM ${PYTHON} AS base
RUN groupadd --gid 10001 monitord && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/monitord --shell /usr/sbin/nologin monitord && install -d -o monitord -g monitord -m 0700 /var/lib/monitord
ENV PATH=/opt/monitord/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 MONITORD_STATE_DIR=/var/lib/monitord
USER 10001:10001
WORKDIR /var/lib/monitord

FROM base AS shop
COPY --from=shop-packages /opt/monitord /opt/monitord
EXPOSE 8000
CMD ["python", "-m", "monitord.demo.shop"]

FROM base AS monitord
COPY --from=packages /opt/monitord /opt/monitord
EXPOSE 9120 9125 9125/udp
VOLUME /var/lib/monitord
# Plain HTTP on the port of the environment; with TLS or another port in the file, set your own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=1s --retries=3 CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ.get('MONITORD_WEB_PORT', '9120') + '/readyz', timeout=4)"]
ENTRYPOINT ["monitord"]
CMD ["run"]
