{{- define "labels" -}}
{app.kubernetes.io/name: gpu-operator, app.kubernetes.io/instance: {{ .Release.Name }}, app.kubernetes.io/managed-by: {{ .Release.Service }}, app.kubernetes.io/component: gpu-operator, helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}}
{{- end }}
{{- define "nfd-labels" -}}
{app.kubernetes.io/name: node-feature-discovery, app.kubernetes.io/instance: {{ .Release.Name }}, app.kubernetes.io/managed-by: {{ .Release.Service }}}
{{- end }}
{{- define "operator-image" -}}
{{ .Values.registry }}/nvidia/gpu-operator:{{ .Chart.AppVersion }}
{{- end }}
{{- define "nfd-image" -}}
registry.k8s.io/nfd/node-feature-discovery:v0.19.0
{{- end }}
{{- define "operator-hook" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: gpu-operator-{{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{ include "labels" .root }}
  annotations: {helm.sh/hook: {{ .hook }}, helm.sh/hook-weight: {{ .weight | quote }}, helm.sh/hook-delete-policy: "hook-succeeded,before-hook-creation"}
spec:
  template:
    metadata:
      labels: {{ include "labels" .root }}
    spec:
      serviceAccountName: {{ .account }}
      restartPolicy: OnFailure
      nodeSelector: {{ toJson .root.Values.operator.nodeSelector }}
      tolerations: {{ toJson .root.Values.operator.tolerations }}
      containers:
        - name: {{ .name }}
          image: {{ include "operator-image" .root }}
          command: {{ toJson .command }}
{{- end }}
