{{- if and .Values.clusterPolicy.deployCR .Values.gpuCluster.deployCR }}
{{ fail "only one of clusterPolicy.deployCR and gpuCluster.deployCR can be true" }}
{{- end }}
{{- if and (dig "config" "create" false .Values.devicePlugin) (empty (dig "config" "data" dict .Values.devicePlugin)) }}
{{ fail "devicePlugin.config.create needs devicePlugin.config.data" }}
{{- end }}
