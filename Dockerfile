# Server, page and CPU trainer in one image.
FROM node:24-slim AS page
WORKDIR /assay
COPY package.json package-lock.json ./
COPY frontend ./frontend
RUN npm ci --no-audit --no-fund && npm run build

FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
WORKDIR /assay
COPY requirements.lock pyproject.toml README.md ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
COPY --from=page /assay/frontend/dist ./frontend/dist
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e . \
 && useradd --create-home assay && mkdir -p /data && chown -R assay /data /assay/submission_runs \
 && git config --system --add safe.directory /assay
USER assay
ENV ASSAY_HOME=/data ASSAY_HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=10s CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=3)"
CMD ["assay", "up"]
