# Prometheus, Alertmanager and Grafana, and loadline in front of a Service if so wanted.

provider "kubernetes" {
  config_path = pathexpand(var.kubeconfig_path)
}

provider "helm" {
  kubernetes = {
    config_path = pathexpand(var.kubeconfig_path)
  }
}

resource "kubernetes_namespace_v1" "monitoring" {
  metadata {
    name = "monitoring"
  }
}

resource "helm_release" "kube_prometheus_stack" {
  # The name is a label's value that decides what this Prometheus heeds; see deploy/kustomize/overlays/monitoring.
  name       = "kube-prometheus-stack"
  repository = "https://prometheus-community.github.io/helm-charts"
  chart      = "kube-prometheus-stack"
  version    = var.kube_prometheus_stack_version
  namespace  = kubernetes_namespace_v1.monitoring.metadata[0].name

  values = [yamlencode({
    grafana = {
      defaultDashboardsEnabled = true
      sidecar = {
        dashboards = {
          enabled         = true
          label           = "grafana_dashboard"
          searchNamespace = "ALL"
        }
      }
    }
  })]
}

resource "helm_release" "loadline" {
  count = var.install_loadline ? 1 : 0

  name             = "loadline"
  chart            = "${path.module}/../helm/loadline"
  namespace        = "shop"
  create_namespace = true

  values = [yamlencode({
    upstream    = var.upstream
    concurrency = var.concurrency
    monitoring  = { enabled = true }
  })]

  # The chart brings objects that the operator of the other one defines.
  depends_on = [helm_release.kube_prometheus_stack]
}
