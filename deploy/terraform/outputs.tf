output "grafana_password" {
  description = "How to read the password of the user admin of Grafana."
  value       = "kubectl get secret -n monitoring kube-prometheus-stack-grafana -o jsonpath='{.data.admin-password}' | base64 -d"
}
