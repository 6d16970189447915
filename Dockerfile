# kdns as a small image: docker build -t kdns:0.1.0 .
# The first stage has what installing needs; the second gets only the finished environment.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
WORKDIR /src
# --require-hashes: nothing but the files that requirements.lock names; wheels only, so no compiler is ever called for.
# pip compiles what it installs, since the file system is read-only later.
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/kdns \
 && python -m pip --python /opt/kdns/bin/python install --no-cache-dir --require-hashes --only-binary=:all: \
      --compile -r requirements.lock
COPY pyproject.toml README.md ./
COPY kdns kdns
# The image's own setuptools builds the wheel, so nothing unpinned is fetched (images of Python 3.12 and later have none).
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && python -m pip --python /opt/kdns/bin/python install --no-cache-dir --no-index --no-deps --compile /wheels/kdns-*.whl

FROM python:${PYTHON}-slim
COPY --from=build /opt/kdns /opt/kdns
ENV PATH=/opt/kdns/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# No USER: kubeadm's Deployment of CoreDNS names none, and gives NET_BIND_SERVICE alone, which only uid 0 can use. Our own
# manifests run it as 65532.
EXPOSE 53/udp 53/tcp 8080/tcp 8181/tcp 9153/tcp
ENTRYPOINT ["kdns"]
CMD ["serve"]
