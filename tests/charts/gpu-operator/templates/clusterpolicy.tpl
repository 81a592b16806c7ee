apiVersion: nvidia.com/v1
kind: ClusterPolicy
metadata:
  name: cluster-policy
spec:
  daemonsets: {{ toJson .Values.daemonsets }}
