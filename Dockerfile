# The task image: what the pods of a pipeline run, and the gateway. Built by `conveyor image build`.
# Any builder will do: nothing here needs BuildKit.

# Python 3.11 to 3.13 as python3, with venv, on a Debian or Ubuntu with glibc 2.39 or newer: the wheels of TFX need that.
ARG BASE_IMAGE=python:3.11-slim-trixie


FROM ${BASE_IMAGE} AS packages
USER root

# pyfarmhash has no wheel. Headers are in the official Python images; a Debian's own Python has them in a package.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ \
 && { test -e "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
      || apt-get install --yes --no-install-recommends python3-dev; } \
 && rm -rf /var/lib/apt/lists/*

# Where packages come from, if not from where pip looks by default. They stay in this stage; the image does not hold them.
ARG PIP_CERT
ARG PIP_DEFAULT_TIMEOUT
ARG PIP_EXTRA_INDEX_URL
ARG PIP_INDEX_URL
ARG PIP_TRUSTED_HOST

WORKDIR /build
COPY requirements-image.lock .
# Packages without a wheel are built with the locked setuptools and wheel. TensorFlow's headers are for compilers.
RUN echo "Installing the locked packages: two to four minutes" \
 && python3 -m venv /opt/conveyor \
 && sed -n '/^\(packaging\|setuptools\|wheel\)==/,/# via/p' requirements-image.lock > build.lock \
 && pip="/opt/conveyor/bin/pip install --no-cache-dir --quiet --require-hashes --no-deps" \
 && $pip --requirement build.lock \
 && $pip --requirement requirements-image.lock --use-pep517 --no-build-isolation \
 && rm -rf /opt/conveyor/lib/python3*/site-packages/tensorflow/include


FROM ${BASE_IMAGE}

COPY --from=packages /opt/conveyor /opt/conveyor

# The last three are as on the laptop, for the same numbers and a log without TensorFlow's greetings. No user need be known by name: a pod may run as any. What is not on the volume goes to /tmp.
ENV HOME=/tmp \
    LOGNAME=conveyor \
    PATH=/opt/conveyor/bin:$PATH \
    PYTHONHASHSEED=0 \
    PYTHONPATH=/opt/conveyor/code \
    PYTHONUNBUFFERED=1 \
    TF_CPP_MIN_LOG_LEVEL=2 \
    TF_ENABLE_ONEDNN_OPTS=0

WORKDIR /opt/conveyor/code
COPY components components
COPY pipeline pipeline
COPY serving serving
# A pod cannot write here, and each would compile everything anew.
RUN python -m compileall -q .

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Conveyor" \
      org.opencontainers.image.description="Runs the nodes of a TFX pipeline on Kubeflow Pipelines, and the gateway before its model server" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

USER 1000:1000
CMD ["python", "-m", "pipeline.kubeflow.pod.entrypoint", "--help"]
