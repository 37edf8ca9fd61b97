# terraform test: no cluster, no network but for the providers themselves.

mock_provider "helm" {}
mock_provider "kubernetes" {}

run "monitoring_alone_by_default" {
  command = plan

  assert {
    condition     = helm_release.kube_prometheus_stack.version == "61.3.1"
    error_message = "the chart's version is pinned"
  }
  assert {
    condition     = length(helm_release.loadline) == 0
    error_message = "loadline is installed on request only"
  }
}

run "loadline_on_request" {
  command = plan
  variables {
    install_loadline = true
    upstream         = "app.shop.svc:80"
    concurrency      = "12"
  }

  assert {
    condition     = yamldecode(helm_release.loadline[0].values[0]).concurrency == "12"
    error_message = "the limit reaches the chart"
  }
}

run "a_limit_that_is_none" {
  command = plan
  variables {
    concurrency = "0"
  }
  expect_failures = [var.concurrency]
}
