# The task image, which the pods of a pipeline and the gateway run. `conveyor image build` builds it.
# Any builder works: nothing here needs BuildKit.

# It must have Python 3.11 to 3.13 as python3, with venv, on Debian or Ubuntu with glibc 2.39 or newer, which TFX's wheels need.
ARG BASE_IMAGE=python:3.11-slim-trixie


FROM ${BASE_IMAGE} AS packages
USER root

# pyfarmhash has no wheel. The official Python images include the headers; for Debian's own Python, they are in a package.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ \
 && { test -e "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
      || apt-get install --yes --no-install-recommends python3-dev; } \
 && rm -rf /var/lib/apt/lists/*

# Where pip finds packages, if not at its default. The values stay in this stage; the image does not contain them.
ARG PIP_CERT
ARG PIP_DEFAULT_TIMEOUT
ARG PIP_EXTRA_INDEX_URL
ARG PIP_INDEX_URL
ARG PIP_TRUSTED_HOST

# gpu: with NVIDIA's libraries, which TensorFlow finds by itself.
ARG ACCELERATOR=none

WORKDIR /build
COPY requirements-image.lock .
COPY requirements-gpu.lock .
# Packages without a wheel are built with the locked setuptools and wheel. Only compilers need TensorFlow's headers.
RUN echo "Installing the locked packages: two to four minutes" \
 && python3 -m venv /opt/conveyor \
 && sed -n '/^\(packaging\|setuptools\|wheel\)==/,/# via/p' requirements-image.lock > build.lock \
 && pip="/opt/conveyor/bin/pip install --no-cache-dir --quiet --require-hashes --no-deps" \
 && $pip --requirement build.lock \
 && $pip --requirement requirements-image.lock --use-pep517 --no-build-isolation \
 && case "$ACCELERATOR" in \
      none) ;; \
      gpu) $pip --requirement requirements-gpu.lock ;; \
      *) echo "ACCELERATOR is none or gpu, not $ACCELERATOR" >&2; exit 1 ;; \
    esac \
 && rm -rf /opt/conveyor/lib/python3*/site-packages/tensorflow/include


FROM ${BASE_IMAGE}

# LightGBM needs it.
USER root
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/*

COPY --from=packages /opt/conveyor /opt/conveyor

# OPENBLAS_NUM_THREADS, PYTHONHASHSEED and the TF_ variables are as on the laptop, for the same results and a log without TensorFlow's
# start-up messages.
# A pod may run as any user, which need not have a name. Files that do not belong on the volume go to /tmp.
ENV HOME=/tmp \
    LOGNAME=conveyor \
    OPENBLAS_NUM_THREADS=1 \
    PATH=/opt/conveyor/bin:$PATH \
    PYTHONHASHSEED=0 \
    PYTHONPATH=/opt/conveyor/code \
    PYTHONUNBUFFERED=1 \
    TF_CPP_MIN_LOG_LEVEL=2 \
    TF_ENABLE_ONEDNN_OPTS=0

# pip has compiled the packages; official Python images come without the bytecode of the standard library. Some of the library's tests
# are wrong on purpose.
RUN python -m compileall -q -x '/(site-packages|dist-packages|test|tests)/' \
      "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

WORKDIR /opt/conveyor/code
COPY components components
COPY pipeline pipeline
COPY serving serving
# Pods cannot write here, so each of them would compile everything again.
RUN python -m compileall -q .

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Conveyor" \
      org.opencontainers.image.description="Runs the nodes of a TFX pipeline on Kubeflow Pipelines, and the gateway in front of its model server" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

USER 1000:1000
CMD ["python", "-m", "pipeline.kubeflow.pod.entrypoint", "--help"]
