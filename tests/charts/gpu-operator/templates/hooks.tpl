{{- if .Values.operator.upgradeCRD }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: gpu-operator-upgrade-crd-hook-sa
  namespace: {{ .Release.Namespace }}
  annotations: {helm.sh/hook: pre-upgrade, helm.sh/hook-delete-policy: "hook-succeeded,before-hook-creation", helm.sh/hook-weight: "0"}
---
{{ include "operator-hook" (dict "root" . "name" "upgrade-crd" "hook" "pre-upgrade" "weight" "1" "account" "gpu-operator-upgrade-crd-hook-sa" "command" (list "/usr/bin/manage-crds" "apply")) }}
{{- end }}
---
{{ include "operator-hook" (dict "root" . "name" "cleanup-gpucluster" "hook" "pre-delete" "weight" "0" "account" "gpu-operator" "command" (list "/usr/bin/cleanup-gpuclusters" "--gpucluster-name" "gpu-cluster")) }}
{{- if .Values.operator.cleanupCRD }}
---
{{ include "operator-hook" (dict "root" . "name" "cleanup-crd" "hook" "pre-delete" "weight" "1" "account" "gpu-operator" "command" (list "/usr/bin/manage-crds" "delete")) }}
{{- end }}
