# One image for everything: the command says which service a container is.
#   docker build -t regulars:local .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
COPY requirements.lock ./
# Only what the lock names, only as the lock's hashes say, and only wheels: building a package from source would
# run its code here. A mirror of the package index comes as the optional secret `pip_conf`, so that neither its
# address nor its password ends up in the image.
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    python -m venv --without-pip /opt/venv && \
    python -m pip --python /opt/venv/bin/python install --require-hashes --no-deps --only-binary :all: -r requirements.lock
COPY shared ./shared
COPY services ./services
COPY cli ./cli
# Compiled here, because the running container cannot write beside the sources.
RUN python -m compileall -q -j 0 /opt/venv/lib /app && \
    printf '#!/opt/venv/bin/python\nfrom cli.__main__ import main\n\nmain()\n' > /opt/venv/bin/regulars && \
    chmod 0755 /opt/venv/bin/regulars

FROM ${PYTHON_IMAGE}
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
# The files stay root's: what runs can read them and change none.
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8001 8002 8003 8004 8005
CMD ["regulars", "--help"]
