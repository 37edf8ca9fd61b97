//! Envoy with its adaptive concurrency filter, as its documentation sets it up.
//!
//! The values of the gradient controller are those of the example in Envoy's manual (`adaptive_concurrency_filter`), with the 90th
//! percentile that it uses, and everything else by default. One worker thread; no access log.

use std::net::SocketAddr;

/// The configuration file.
pub(super) fn config(address: SocketAddr, origin: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    let (app_ip, app_port) = (origin.ip(), origin.port());
    format!(
        "static_resources:
  listeners:
  - address: {{ socket_address: {{ address: {ip}, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          route_config:
            virtual_hosts:
            - name: app
              domains: ['*']
              routes:
              - match: {{ prefix: / }}
                route: {{ cluster: app }}
          http_filters:
          - name: envoy.filters.http.adaptive_concurrency
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency
              gradient_controller_config:
                sample_aggregate_percentile: {{ value: 90 }}
                concurrency_limit_params:
                  concurrency_update_interval: 0.1s
                min_rtt_calc_params:
                  jitter: {{ value: 10 }}
                  interval: 60s
                  request_count: 50
              enabled: {{ default_value: true, runtime_key: adaptive_concurrency.enabled }}
          - name: envoy.filters.http.router
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: app
    connect_timeout: 5s
    type: STATIC
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: {app_ip}, port_value: {app_port} }} }} }}
"
    )
}
