{{- range $name, $image := dict
  "nvidia-driver-daemonset" (printf "%s/nvidia/driver:%s" .Values.registry .Values.driver.version)
  "nvidia-device-plugin-daemonset" (printf "%s/nvidia/k8s-device-plugin:%s" .Values.registry .Values.devicePlugin.version) }}
---
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: {{ $name }}
  namespace: {{ $.Release.Namespace }}
spec:
  selector:
    matchLabels: {app: {{ $name }}}
  template:
    metadata:
      labels: {app: {{ $name }}}
    spec:
      tolerations: {{ toJson $.Values.daemonsets.tolerations }}
      # The real operator finds GPU nodes by labels of its own.
      affinity:
        nodeAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
              - matchExpressions:
                  - {key: kubernetes.azure.com/accelerator, operator: In, values: [nvidia]}
                  - {key: nvidia.com/gpu.deploy.operands, operator: NotIn, values: ["false"]}
      containers:
        - name: {{ $name }}
          image: {{ $image }}
          securityContext: {privileged: true}
          {{- if contains "device-plugin" $name }}
          volumeMounts:
            - {name: device-plugin, mountPath: /var/lib/kubelet/device-plugins}
          {{- end }}
      {{- if contains "device-plugin" $name }}
      volumes:
        - name: device-plugin
          hostPath: {path: /var/lib/kubelet/device-plugins}
      {{- end }}
{{- end }}
