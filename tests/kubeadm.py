"""What kubeadm puts into kube-system, as far as a Pod's start depends on it: CoreDNS and kube-proxy."""

from typing import Any, Final

import yaml

COREDNS: Final = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: coredns
  namespace: kube-system
  labels: {k8s-app: kube-dns}
spec:
  replicas: 2
  strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1}}
  selector: {matchLabels: {k8s-app: kube-dns}}
  template:
    metadata:
      labels: {k8s-app: kube-dns}
    spec:
      priorityClassName: system-cluster-critical
      serviceAccountName: coredns
      dnsPolicy: Default
      containers:
        - name: coredns
          image: registry.example/coredns:v1.12.1
          imagePullPolicy: IfNotPresent
          args: [-conf, /etc/coredns/Corefile]
          resources:
            limits: {memory: 170Mi}
            requests: {cpu: 100m, memory: 70Mi}
          volumeMounts:
            - {name: config-volume, mountPath: /etc/coredns, readOnly: true}
          ports:
            - {containerPort: 53, name: dns, protocol: UDP}
            - {containerPort: 53, name: dns-tcp, protocol: TCP}
            - {containerPort: 9153, name: metrics, protocol: TCP}
          livenessProbe:
            httpGet: {path: /health, port: 8080, scheme: HTTP}
            initialDelaySeconds: 60
          readinessProbe:
            httpGet: {path: /ready, port: 8181, scheme: HTTP}
          securityContext:
            allowPrivilegeEscalation: false
            capabilities: {add: [NET_BIND_SERVICE], drop: [ALL]}
            readOnlyRootFilesystem: true
      volumes:
        - name: config-volume
          configMap:
            name: coredns
            items: [{key: Corefile, path: Corefile}]
"""
KUBE_PROXY: Final = """\
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: kube-proxy
  namespace: kube-system
  labels: {k8s-app: kube-proxy}
spec:
  selector: {matchLabels: {k8s-app: kube-proxy}}
  updateStrategy: {type: RollingUpdate}
  template:
    metadata:
      labels: {k8s-app: kube-proxy}
    spec:
      priorityClassName: system-node-critical
      serviceAccountName: kube-proxy
      hostNetwork: true
      containers:
        - name: kube-proxy
          image: registry.example/kube-proxy:v1.34.0
          imagePullPolicy: IfNotPresent
          command:
            - /usr/local/bin/kube-proxy
            - --config=/var/lib/kube-proxy/config.conf
            - --hostname-override=$(NODE_NAME)
          env:
            - name: NODE_NAME
              valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
          securityContext: {privileged: true}
          volumeMounts:
            - {name: kube-proxy, mountPath: /var/lib/kube-proxy}
            - {name: xtables-lock, mountPath: /run/xtables.lock, readOnly: false}
            - {name: lib-modules, mountPath: /lib/modules, readOnly: true}
      volumes:
        - {name: kube-proxy, configMap: {name: kube-proxy}}
        - {name: xtables-lock, hostPath: {path: /run/xtables.lock, type: FileOrCreate}}
        - {name: lib-modules, hostPath: {path: /lib/modules}}
      nodeSelector: {kubernetes.io/os: linux}
      tolerations: [{operator: Exists}]
"""


def coredns() -> dict[str, Any]:
    """The Deployment of CoreDNS."""
    return dict(yaml.safe_load(COREDNS))


def kube_proxy() -> dict[str, Any]:
    """The DaemonSet of kube-proxy."""
    return dict(yaml.safe_load(KUBE_PROXY))
