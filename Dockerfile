# syntax=docker/dockerfile:1
# Two images with the same bundles inside:
#
#   docker build -t kerazoo .                                  `kerazoo serve`, without TensorFlow; amd64 and arm64
#   docker build -t kerazoo-tfserving --target tfserving .     the real TF Serving; amd64
#
# MODELS says which bundles are baked in. Weights that do not come with the package are fetched during the build:
#
#   docker build -t kerazoo --build-arg MODELS="lenet5:mnist resnet50:imagenet" .
#
# Bundles from elsewhere are mounted over /models, one folder a model with its version folders in it.

ARG PYTHON=3.11-slim-bookworm
ARG TFSERVING=2.20.0

FROM python:${PYTHON} AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE NOTICE weights_manifest.json ./
COPY kerazoo kerazoo
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:${PYTHON} AS installed
COPY --from=wheel /wheel /wheel
RUN python -m venv /opt/kerazoo \
    && /opt/kerazoo/bin/pip install --no-cache-dir /wheel/*.whl

# What builds models, TensorFlow above all, is not needed to serve them.
FROM python:${PYTHON} AS light
COPY --from=wheel /wheel /wheel
RUN python -m venv /opt/kerazoo \
    && /opt/kerazoo/bin/pip install --no-cache-dir --no-deps /wheel/*.whl \
    && /opt/kerazoo/bin/python -m kerazoo.packages > /wheel/serving.txt \
    && /opt/kerazoo/bin/pip install --no-cache-dir -r /wheel/serving.txt

FROM installed AS bundles
ARG MODELS="lenet5:mnist"
COPY deploy/bake.py /bake.py
RUN /opt/kerazoo/bin/python /bake.py /models "${MODELS}"

FROM tensorflow/serving:${TFSERVING} AS tfserving
COPY --chmod=755 deploy/tfserving.sh /usr/local/bin/serve-bundles
COPY --from=bundles /models /models
# Upstream's name "model" would hide what is baked in; a name that is given is served alone, as upstream does.
ENV MODEL_NAME="" \
    MODEL_BASE_PATH=/models
USER 10001:10001
EXPOSE 8500 8501
# The image has neither curl nor Python. Ports open only when every model has loaded, so that a connection is enough.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8501"]
ENTRYPOINT ["serve-bundles"]

FROM python:${PYTHON} AS embedded
RUN groupadd --gid 10001 kerazoo \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/cache/kerazoo kerazoo \
    && install -d -o kerazoo -g kerazoo /var/cache/kerazoo
COPY --from=light /opt/kerazoo /opt/kerazoo
COPY --from=bundles /models /models
COPY --chmod=755 deploy/embedded.sh /usr/local/bin/serve-bundles
# Everything may be read-only, but /tmp.
ENV KERAZOO_HOME=/var/cache/kerazoo \
    MODEL_NAME="" \
    MODEL_BASE_PATH=/models \
    PATH=/opt/kerazoo/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
VOLUME /var/cache/kerazoo
USER 10001:10001
EXPOSE 8500 8501
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8501, timeout=4); c.request('GET', '/healthz'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["serve-bundles"]
