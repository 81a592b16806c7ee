{{- if .Values.nfd.enabled }}
{{- $nfd := index .Values "node-feature-discovery" }}
apiVersion: v1
kind: ServiceAccount
metadata: {name: node-feature-discovery, namespace: {{ .Release.Namespace }}, labels: {{ include "nfd-labels" . }}}
{{- range $role := list "master" "gc" "worker" }}
{{- $values := index $nfd $role }}
{{- $labels := merge (dict "role" $role) (include "nfd-labels" $ | fromYaml) }}
---
apiVersion: apps/v1
kind: {{ eq $role "worker" | ternary "DaemonSet" "Deployment" }}
metadata:
  name: {{ $.Release.Name }}-node-feature-discovery-{{ $role }}
  namespace: {{ $.Release.Namespace }}
  labels: {{ toJson $labels }}
spec:
  selector:
    matchLabels: {app.kubernetes.io/instance: {{ $.Release.Name }}, app.kubernetes.io/name: node-feature-discovery, role: {{ $role }}}
  template:
    metadata:
      labels: {{ toJson $labels }}
    spec:
      serviceAccountName: node-feature-discovery
      priorityClassName: system-node-critical
      nodeSelector: {{ toJson $values.nodeSelector }}
      tolerations: {{ toJson $values.tolerations }}
      containers:
        - name: {{ $role }}
          image: {{ include "nfd-image" $ }}
          command: [nfd-{{ $role }}]
{{- end }}
{{- if $nfd.postDeleteCleanup }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .Release.Name }}-node-feature-discovery-prune
  namespace: {{ .Release.Namespace }}
  labels: {{ include "nfd-labels" . }}
  annotations: {helm.sh/hook: post-delete, helm.sh/hook-delete-policy: "before-hook-creation,hook-succeeded"}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-node-feature-discovery-prune
  namespace: {{ .Release.Namespace }}
  labels: {{ include "nfd-labels" . }}
  annotations: {helm.sh/hook: post-delete, helm.sh/hook-delete-policy: "before-hook-creation,hook-succeeded"}
spec:
  template:
    metadata:
      labels: {{ merge (dict "role" "prune") (include "nfd-labels" . | fromYaml) | toJson }}
    spec:
      serviceAccountName: {{ .Release.Name }}-node-feature-discovery-prune
      restartPolicy: Never
      nodeSelector: {{ toJson $nfd.master.nodeSelector }}
      tolerations: {{ toJson $nfd.master.tolerations }}
      containers:
        - name: nfd-master
          image: {{ include "nfd-image" . }}
          command: [nfd-master]
          args: [-prune]
{{- end }}
{{- end }}
