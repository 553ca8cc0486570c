"""Envoy's bootstraps: as its documentation starts it, with what the agent does by default, and for tunnels.

`full_bootstrap` turns on the nearest that Envoy has to each of the agent's defaults:

    the agent                        Envoy
    peak EWMA over two choices       LEAST_REQUEST: fewest active requests of two choices
    failure accrual, 5 in a row      outlier_detection, consecutive_5xx 5
    retries under a 20 % budget      retry_policy, circuit_breakers.retry_budget 20 %
    deadline of a whole request      route timeout
    trace headers, request id        OpenTelemetry tracer (traceparent), nothing sampled; x-request-id
    Via                              via

Envoy keeps counters and latency histograms per cluster and listener in both.
"""

from pathlib import Path

Json = dict[str, object]

_EXTENSIONS = "type.googleapis.com/envoy.extensions."


def bootstrap(port: int, admin_port: int, backends: tuple[int, ...]) -> Json:
    """A listener on *port* that routes the host `web` to *backends* round robin; admin on *admin_port*."""
    return _bootstrap(port, admin_port, [_cluster("web", backends, {"lb_policy": "ROUND_ROBIN"})], {}, {})


RETRY_ON = "connect-failure,refused-stream,reset"


def full_bootstrap(port: int, admin_port: int, backends: tuple[int, ...], *, retry_on: str = RETRY_ON) -> Json:
    """The same with balancing by load, ejection, retries under a budget, a deadline and trace headers."""
    web: Json = {
        "lb_policy": "LEAST_REQUEST",
        "outlier_detection": {"consecutive_5xx": 5},
        "circuit_breakers": {"thresholds": [{"retry_budget": {"budget_percent": {"value": 20.0}}}]},
    }
    collector = _cluster("collector", (admin_port,), {})  # nothing is sampled, so nothing is sent to it
    route: Json = {
        "timeout": "30s",
        "retry_policy": {"retry_on": retry_on, "num_retries": 3},
    }
    manager: Json = {"via": "envoy", "generate_request_id": True, "tracing": _tracing()}
    return _bootstrap(port, admin_port, [_cluster("web", backends, web), collector], route, manager)


def tunnel_bootstrap(port: int, admin_port: int, backends: tuple[int, ...]) -> Json:
    """A listener on *port* that ends the tunnels of CONNECT: their bytes go to *backends* as they are."""
    tunnel: Json = {"upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}
    manager: Json = {"upgrade_configs": [{"upgrade_type": "CONNECT"}]}
    clusters = [_cluster("web", backends, {"lb_policy": "LEAST_REQUEST"})]
    return _bootstrap(port, admin_port, clusters, tunnel, manager, host="*", match={"connect_matcher": {}})


def secure(document: Json, folder: Path, name: str, *, listener: bool, cluster: bool) -> None:
    """Have the listener of a bootstrap, or its cluster of endpoints, speak mutual TLS 1.3.

    Both appear as `cert.pem` in *folder*, and verify by `bundle.pem` there; endpoints must be *name*.
    """
    resources = document["static_resources"]
    assert isinstance(resources, dict)
    match: Json = {"san_type": "DNS", "matcher": {"exact": name}}
    trust: Json = {"trusted_ca": {"filename": f"{folder}/bundle.pem"}}
    common: Json = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [
            {
                "certificate_chain": {"filename": f"{folder}/cert.pem"},
                "private_key": {"filename": f"{folder}/key.pem"},
            }
        ],
    }
    if listener:
        context = {
            "@type": _EXTENSIONS + "transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {**common, "validation_context": trust},
            "require_client_certificate": True,
        }
        resources["listeners"][0]["filter_chains"][0]["transport_socket"] = _tls(context)
    if cluster:
        validation = {**trust, "match_typed_subject_alt_names": [match]}
        context = {
            "@type": _EXTENSIONS + "transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {**common, "validation_context": validation},
            "sni": name,
        }
        resources["clusters"][0]["transport_socket"] = _tls(context)


def _tls(context: Json) -> Json:
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _bootstrap(
    port: int,
    admin_port: int,
    clusters: list[Json],
    route: Json,
    manager: Json,
    *,
    host: str = "web",
    match: Json | None = None,
) -> Json:
    """*route* is for what *match* takes, by default everything, of the requests for *host*."""
    virtual_host: Json = {
        "name": "web",
        "domains": [host],
        "routes": [{"match": match or {"prefix": "/"}, "route": {"cluster": "web", **route}}],
    }
    return {
        "admin": {"address": _address(admin_port)},
        "static_resources": {"listeners": [_listener(port, virtual_host, manager)], "clusters": clusters},
    }


def _listener(port: int, virtual_host: Json, manager: Json) -> Json:
    connection_manager = {
        "@type": _EXTENSIONS + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "outgoing",
        "route_config": {"virtual_hosts": [virtual_host]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": _EXTENSIONS + "filters.http.router.v3.Router"},
            }
        ],
        **manager,
    }
    network_filter = {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": connection_manager,
    }
    return {"name": "outgoing", "address": _address(port), "filter_chains": [{"filters": [network_filter]}]}


def _tracing() -> Json:
    return {
        "random_sampling": {"value": 0.0},
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "grpc_service": {"envoy_grpc": {"cluster_name": "collector"}},
                "service_name": "bench",
            },
        },
    }


def _cluster(name: str, ports: tuple[int, ...], settings: Json) -> Json:
    endpoints = [{"endpoint": {"address": _address(port)}} for port in ports]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        **settings,
    }


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
