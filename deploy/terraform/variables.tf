variable "kubeconfig_path" {
  description = "Kubeconfig of the cluster."
  type        = string
  default     = "~/.kube/config"
}

variable "kube_prometheus_stack_version" {
  description = "Version of the chart kube-prometheus-stack."
  type        = string
  default     = "61.3.1"
}

variable "install_loadline" {
  description = "Whether to install loadline as a gateway, from the chart beside this directory."
  type        = bool
  default     = false
}

variable "upstream" {
  description = "The application that the gateway protects: host:port."
  type        = string
  default     = "app.shop.svc.cluster.local:80"
}

variable "concurrency" {
  description = "Requests that one gateway may have in service at the application: a number, or auto."
  type        = string
  default     = "auto"

  validation {
    condition     = can(regex("^(auto|[1-9][0-9]*)$", var.concurrency))
    error_message = "concurrency is a positive number or auto."
  }
}
