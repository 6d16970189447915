#!/usr/bin/env bash
# kdns in a real cluster: makes one with kind, asks it for names, reaches a Service, and deletes it again.
#
#   tests/e2e/kind.sh          needs kind, docker and kubectl; KEEP=1 leaves the cluster there
#
# See docs/install-kind.md. The cluster is called kdns; one that is there already is left alone.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly cluster=kdns
readonly image=kdns:0.1.0
readonly overlay=manifests/overlays/kind
readonly checks=tests/e2e/hostnames.yaml
readonly namespace=kdns-check

say() {
  printf '\n== %s\n' "$*"
}

fail() {
  printf 'kind.sh: %s\n' "$*" >&2
  exit 1
}

kube() {
  kubectl --context "kind-$cluster" "$@"
}

inside() {
  kube --namespace "$namespace" exec busybox -- "$@"
}

# try COMMAND...: once a second, until it succeeds, for half a minute.
try() {
  local left
  for left in $(seq 30 -1 0); do
    if "$@"; then
      return
    fi
    if [ "$left" != 0 ]; then
      sleep 1
    fi
  done
  return 1
}

end() {
  local status=$?
  if [ "$status" != 0 ]; then
    say 'what there is'
    kube get pods --all-namespaces --output wide || true
    kube --namespace kube-system logs daemonset/kdns-proxy --all-containers --tail 50 || true
    kube --namespace kube-system logs deployment/kdns --tail 50 || true
  fi
  if [ -z "${KEEP:-}" ]; then
    kind delete cluster --name "$cluster"
  fi
  exit "$status"
}

# lookup NAME ADDRESS: busybox finds it, and the cluster's DNS has answered.
lookup() {
  local found
  printf '$ nslookup %s\n' "$1"
  found=$(inside nslookup "$1") || fail "nslookup $1 has failed"
  printf '%s\n' "$found"
  grep -Eq '^Server:[[:space:]]*10\.96\.0\.10$' <<<"$found" || fail "$1 was not answered by 10.96.0.10"
  grep -Eq "^Address( [0-9]+)?: *${2//./\\.}( |$)" <<<"$found" || fail "$1 is not $2"
}

for tool in kind docker kubectl; do
  command -v "$tool" >/dev/null || fail "$tool is not installed"
done
if kind get clusters 2>/dev/null | grep -qx "$cluster"; then
  fail "there is a cluster $cluster already: kind delete cluster --name $cluster"
fi

say "the image $image"
docker build --tag "$image" .

say 'a cluster without kube-proxy'
trap end EXIT
kind create cluster --config "$overlay/cluster.yaml" --wait 180s
kind load docker-image "$image" --name "$cluster"

say 'kdns: DNS and proxy'
kube apply -k "$overlay"
kube --namespace kube-system rollout status daemonset/kdns-proxy --timeout 180s
kube --namespace kube-system rollout status deployment/kdns --timeout 180s

say 'something to ask for'
kube apply --filename "$checks"
kube --namespace "$namespace" rollout status deployment/hostnames --timeout 180s
kube --namespace "$namespace" wait --for=condition=Ready pod/busybox --timeout 180s

say 'names, from a busybox that ignores the search list'
try inside nslookup kubernetes.default.svc.cluster.local >/dev/null || fail 'no cluster DNS'
lookup kubernetes.default 10.96.0.1
lookup kubernetes.default.svc.cluster.local 10.96.0.1
hostnames=$(kube --namespace "$namespace" get service hostnames --output 'jsonpath={.spec.clusterIP}')
lookup "hostnames.$namespace" "$hostnames"
if inside nslookup "no-such-name.$namespace.svc.cluster.local"; then
  fail 'a name that does not exist was found'
fi

say 'the Service hostnames, thirty times: all three Pods answer'
answers=$(for _ in $(seq 30); do inside wget -qO- -T 5 http://hostnames || echo 'no answer'; done | sort | uniq -c)
printf '%s\n' "$answers"
if grep -q 'no answer' <<<"$answers"; then
  fail 'hostnames was not reached every time'
fi
[ "$(wc -l <<<"$answers")" = 3 ] || fail 'not every Pod of hostnames has answered'

say 'rules, on the first node'
docker exec "$cluster-control-plane" iptables-save --table nat | grep 'KUBE-SVC-.*hostnames' ||
  fail 'there are no rules for hostnames'

say 'all is well'
