apiVersion: v1
kind: ServiceAccount
metadata: {name: gpu-operator, namespace: {{ .Release.Namespace }}, labels: {{ include "labels" . }}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: gpu-operator, labels: {{ include "labels" . }}}
rules:
  - {apiGroups: [nvidia.com], resources: ["*"], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: gpu-operator, labels: {{ include "labels" . }}}
subjects: [{kind: ServiceAccount, name: gpu-operator, namespace: {{ .Release.Namespace }}}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: gpu-operator}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gpu-operator, namespace: {{ .Release.Namespace }}, labels: {{ include "labels" . }}}
spec:
  replicas: 1
  selector:
    matchLabels: {app: gpu-operator, app.kubernetes.io/component: gpu-operator}
  template:
    metadata:
      labels: {{ merge (dict "app" "gpu-operator") (include "labels" . | fromYaml) | toJson }}
    spec:
      serviceAccountName: gpu-operator
      priorityClassName: system-node-critical
      nodeSelector: {{ toJson .Values.operator.nodeSelector }}
      tolerations: {{ toJson .Values.operator.tolerations }}
      containers:
        - name: gpu-operator
          image: {{ include "operator-image" . }}
          command: [gpu-operator]
          args: [--leader-elect]
          resources: {requests: {cpu: 200m, memory: 100Mi}}
