{{- if .Values.clusterPolicy.deployCR }}
apiVersion: nvidia.com/v1
kind: ClusterPolicy
metadata:
  name: cluster-policy
  labels: {{ include "labels" . }}
  {{- if .Values.operator.cleanupCRD }}
  annotations: {helm.sh/resource-policy: keep}
  {{- end }}
spec:
  registry: {{ .Values.registry }}
  daemonsets: {{ toJson .Values.daemonsets }}
  validator: {version: {{ .Chart.AppVersion | quote }}}
  driver: {{ toJson (omit .Values.driver "nvidiaDriverCRD") }}
  toolkit: {{ toJson .Values.toolkit }}
  devicePlugin: {{ toJson .Values.devicePlugin }}
  dcgmExporter: {{ toJson .Values.dcgmExporter }}
{{- end }}
{{- if .Values.gpuCluster.deployCR }}
---
apiVersion: nvidia.com/v1alpha1
kind: GPUCluster
metadata:
  name: gpu-cluster
  labels: {{ include "labels" . }}
  annotations: {helm.sh/resource-policy: keep}
spec: {}
{{- end }}
