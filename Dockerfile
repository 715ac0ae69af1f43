# syntax=docker/dockerfile:1
# docker build .                 server, page and CPU trainer
# docker build --target tpu .    the same and the TPU runtime, for a TPU VM (x86-64 only)
#
# Every Python package is the one that requirements.lock names, checked against its hash; what only tests need is left out.

FROM node:24-bookworm-slim AS page
WORKDIR /assay
COPY package.json package-lock.json ./
COPY frontend/package.json frontend/
RUN npm ci --no-audit --no-fund
COPY frontend frontend
RUN npm run build

FROM python:3.11-slim-bookworm AS packages
ENV UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
WORKDIR /assay
COPY requirements.lock pyproject.toml README.md ./
COPY evidence/__init__.py evidence/
RUN sed -n '/^uv==/,/[^\\]$/p' requirements.lock > uv.lock \
 && pip install --no-cache-dir --require-hashes -r uv.lock \
 && uv venv /opt/assay \
 && uv pip install --python /opt/assay --require-hashes -c requirements.lock \
      -r pyproject.toml --extra server --extra train --extra postgres \
 && uv pip install --python /opt/assay --no-deps --build-constraints requirements.lock -e .

FROM python:3.11-slim-bookworm AS server
ARG UID=1000
# git: a run's commit. tini: ends as process 1 what a killed server leaves behind. Debian keeps no old versions to pin.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends git tini \
 && rm -rf /var/lib/apt/lists/* \
 && git config --system --add safe.directory /assay \
 && useradd --create-home --uid "$UID" assay \
 && install -d -o assay -g assay /data
ENV PATH=/opt/assay/bin:$PATH ASSAY_HOME=/data ASSAY_HOST=0.0.0.0
WORKDIR /assay
COPY --from=packages /opt/assay /opt/assay
COPY . .
COPY --from=page /assay/frontend/dist frontend/dist
RUN chown -R assay:assay submission_runs
USER $UID
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=3)"]
ENTRYPOINT ["tini", "--"]
CMD ["assay", "up"]

FROM server AS tpu
USER 0
RUN --mount=type=bind,from=packages,source=/usr/local/bin/uv,target=/usr/local/bin/uv \
    UV_NO_CACHE=1 uv pip install --python /opt/assay --require-hashes -c requirements.lock \
      -r pyproject.toml --extra server --extra train --extra postgres --extra tpu
ARG UID=1000
USER $UID

# What is built where no target is named.
FROM server AS cpu
