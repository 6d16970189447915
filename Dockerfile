# kdns as an image, DNS and proxy in one: docker build -t kdns:0.1.0 .   (buildah and podman take it as it is)
# tests/e2e/test_image.py runs these steps, one by one, into a root of its own, and starts what comes out as Pods would.
# docker buildx build --platform linux/amd64,linux/arm64 builds both. A release names its base by digest, and the label
# base.name keeps it: --build-arg BASE=docker.io/library/python:3.11-slim-bookworm@sha256:..., see docs/releasing.md.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
# --require-hashes: nothing but the files that requirements.lock names; wheels only, so no compiler is ever called for.
# kubernetes/aio, compiled, is 70 MB of a client that nothing here uses: kubernetes.config, which reads kubeconfigs, does
# without it.
COPY requirements.lock ./
RUN python3 -m venv /opt/kdns \
 && /opt/kdns/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-compile \
      --require-hashes --only-binary=:all: -r requirements.lock \
 && /opt/kdns/bin/python -m pip uninstall --quiet --yes pip setuptools \
 && rm -r /opt/kdns/lib/python3.*/site-packages/kubernetes/aio
COPY kdns ./kdns
COPY image/kdns image/kdns-nonroot image/go-runner /opt/kdns/bin/
# Compiled here, since the file system is read-only later.
RUN mv kdns /opt/kdns/lib/python3.*/site-packages/ \
 && /opt/kdns/bin/python -m compileall -q /opt/kdns/lib \
 && chmod 755 /opt/kdns/bin/kdns /opt/kdns/bin/kdns-nonroot /opt/kdns/bin/go-runner

FROM ${BASE}
ARG BASE
LABEL org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.title="kdns" \
      org.opencontainers.image.description="Kubernetes cluster DNS and Service proxy" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.url="https://kdns.example" \
      org.opencontainers.image.documentation="https://kdns.example/docs/README.md"
# What the proxy speaks to the kernel with: iptables (nft and legacy) and nft; kmod loads modules for mode ipvs. The others
# only read: what `kdns collect --node` and `kdns explain` look at on a node.
# No program of the image has other rights than the one who starts it: su, mount and others lose their setuid bit.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends iptables nftables kmod conntrack iproute2 ipset ipvsadm \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
 && find / -xdev -type f -perm /6000 -exec chmod ug-s {} +
COPY --from=build /opt/kdns /opt/kdns
# An interpreter that may bind port 53 without root: a script cannot carry a capability, and Kubernetes sets no ambient
# ones. security.capability, version 2, effective: permitted is bit 10, CAP_NET_BIND_SERVICE (capabilities(7)).
RUN cp --dereference /opt/kdns/bin/python /opt/kdns/bin/python-nonroot \
 && /opt/kdns/bin/python -c 'import os, struct; os.setxattr("/opt/kdns/bin/python-nonroot", "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0))' \
 && mkdir -p /usr/local/bin \
 && ln -s /opt/kdns/bin/kdns /usr/local/bin/kube-proxy \
 && ln -s /opt/kdns/bin/go-runner /go-runner \
 && ln -s /opt/kdns/bin/kdns /usr/local/bin/kdns \
 && ln -s /opt/kdns/bin/kdns-nonroot /usr/local/bin/kdns-nonroot
ENV PATH=/opt/kdns/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# No USER: kube-proxy's DaemonSet names none and needs root, and kubeadm's Deployment of CoreDNS gives NET_BIND_SERVICE
# alone, which without file capabilities only uid 0 can use. Our own manifests run DNS as 65532 with kdns-nonroot.
EXPOSE 53/udp 53/tcp 8080/tcp 8181/tcp 9153/tcp 10256/tcp
ENTRYPOINT ["kdns"]
CMD ["serve"]
