{{/* What all names begin with. */}}
{{- define "kdns.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "kdns.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* "yes" if the layout has it. */}}
{{- define "kdns.hasDNS" -}}{{ if ne .Values.layout "proxy" }}yes{{ end }}{{- end -}}
{{- define "kdns.hasProxy" -}}{{ if ne .Values.layout "dns" }}yes{{ end }}{{- end -}}
{{- define "kdns.isNode" -}}{{ if eq .Values.layout "node" }}yes{{ end }}{{- end -}}

{{- define "kdns.isLocal" -}}{{ if eq .Values.layout "node-local" }}yes{{ end }}{{- end -}}

{{/* What DNS serves, with values as .values; .host is the node's address where DNS has no network of its own, .bind is
     whether it listens there, .lameduck how long it answers after it is to end, and .clients whether it is to know which
     Pods of its node ask what. */}}
{{- define "kdns.corefile" -}}
.:53 {
    {{- if .bind }}
    bind {{ .host }}
    {{- end }}
    errors
    health{{ with .host }} {{ . }}:8080{{ end }}
    {{- with .lameduck }} {
        lameduck {{ . }}
    }
    {{- end }}
    ready{{ with .host }} {{ . }}:8181{{ end }}
    shortnames
    kubernetes {{ .values.clusterDomain }} in-addr.arpa ip6.arpa {
        pods {{ .values.pods }}
        fallthrough in-addr.arpa ip6.arpa
        ttl {{ .values.ttl }}
        {{- if and .clients (ne .values.pods "verified") }}
        clients {$NODE_NAME}
        {{- end }}
    }
    {{- if .clients }}
    top
    {{- end }}
    prometheus {{ .host }}:9153
    forward . {{ .values.forward }} {
        max_concurrent 1000
    }
    cache 30
    loop
    reload
    loadbalance
}
{{- with .values.extraServerBlocks }}
{{ . }}
{{- end }}
{{- end -}}

{{/* The name of the ConfigMap with the proxy's configuration, and where the Pods see it. */}}
{{- define "kdns.proxyConfigMap" -}}
{{ .Values.proxy.existingConfigMap | default (printf "%s-proxy" (include "kdns.name" .)) }}
{{- end -}}
{{- define "kdns.proxyConfigFolder" -}}
{{ if .Values.proxy.existingConfigMap }}/var/lib/kube-proxy{{ else }}/etc/kdns-proxy{{ end }}
{{- end -}}

{{/* Where the API server is: a container's env and envFrom. */}}
{{- define "kdns.apiServerEnvFrom" -}}
{{- if not (or .Values.apiServer.host .Values.proxy.existingConfigMap) }}
envFrom:
  # KUBERNETES_SERVICE_HOST and _PORT; without this ConfigMap the Pod waits, and says what it waits for.
  - configMapRef:
      name: {{ .Values.apiServer.existingConfigMap }}
{{- end }}
{{- end -}}
{{- define "kdns.apiServerEnv" -}}
{{- if and .Values.apiServer.host (not .Values.proxy.existingConfigMap) }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ .Values.apiServer.host | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ .Values.apiServer.port | quote }}
{{- end }}
{{- end -}}

{{/* Sysctls: only a privileged container has /proc/sys to write in. It ends before the proxy begins. */}}
{{- define "kdns.sysctls" -}}
- name: sysctls
  image: {{ include "kdns.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command:
    - /usr/local/bin/kube-proxy
  args:
    - --config={{ include "kdns.proxyConfigFolder" . }}/config.conf
    - --init-only
  resources:
    requests:
      cpu: 50m
      memory: 100Mi
  volumeMounts:
    - name: config
      mountPath: {{ include "kdns.proxyConfigFolder" . }}
      readOnly: true
    - name: modules
      mountPath: /lib/modules
      readOnly: true
  securityContext:
    privileged: true
    readOnlyRootFilesystem: true
{{- end -}}

{{/* The proxy's volumes. */}}
{{- define "kdns.proxyVolumes" -}}
- name: config
  configMap:
    name: {{ include "kdns.proxyConfigMap" . }}
- name: snapshot # what is known of the cluster, for a restart while the API server is away
  emptyDir:
    sizeLimit: 600Mi
- name: xtables-lock # the node's own: iptables programs of all sorts wait for each other here
  hostPath:
    path: /run/xtables.lock
    type: FileOrCreate
- name: modules
  hostPath:
    path: /lib/modules
    type: Directory
{{- end -}}

{{- define "kdns.annotations" -}}
{{- with . }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "kdns.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
