"""Configurations of the peers: each proxies everything to one upstream, keeps connections on both sides, adds the same
forwarding fields as Tollgate's proxy, and runs one worker."""

BODY = "x" * 700
NGINX_MAIN = """daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events {{ worker_connections 20000; }}
http {{ keepalive_requests 1000000000; keepalive_timeout 600s; large_client_header_buffers 4 16k;
"""
JSON_LOG = """log_format json escape=json '{{"time":"$msec","id":"$request_id","client":"$remote_addr","port":"$remote_port",'
'"host":"$host","method":"$request_method","path":"$uri","query":"$args","protocol":"$server_protocol",'
'"status":"$status","bytes":"$body_bytes_sent","request_bytes":"$request_length","agent":"$http_user_agent",'
'"upstream":"$upstream_addr","upstream_status":"$upstream_status","connect":"$upstream_connect_time",'
'"ttfb":"$upstream_header_time","total":"$request_time"}}';
"""


def upstream(port, folder):
    """nginx answering 0.7 KB, and /large with 1 MB from a file."""
    return (NGINX_MAIN + """ access_log off;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {folder};
    location /large {{ sendfile on; }}
    location / {{ return 200 '{body}'; }} }} }}
""").format(port=port, folder=folder, body=BODY)


def nginx(plain, tls, upstream_port, cert, log, routes):
    proxy = """proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection '';
      proxy_set_header X-Request-Id $request_id; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;"""
    named = "".join(f"    location /api-{n}/ {{ {proxy} }}\n" for n in range(routes))
    rest = f"    location / {{ {proxy} }}" if not routes else "    location / { return 404; }"
    return (NGINX_MAIN + JSON_LOG).format() + f"""  access_log {log}; proxy_max_temp_file_size 0;
  upstream backend {{ server 127.0.0.1:{upstream_port}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{plain} backlog=4096; listen 127.0.0.1:{tls} ssl http2 backlog=4096;
    ssl_certificate {cert}.pem; ssl_certificate_key {cert}.key; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets on;
    ssl_session_cache shared:tls:10m; http2_max_requests 1000000000;
{named}{rest} }} }}
"""


def haproxy(plain, tls, upstream_port, cert, folder, routes):
    """With many routes, a map by the first path segment; its services share one server, as everywhere here."""
    pick = "  default_backend api"
    if routes:
        (folder / "routes.map").write_text("".join(f"/api-{n}/ api\n" for n in range(routes)))
        pick = f"  use_backend %[path,map_beg({folder}/routes.map,none)]\n  default_backend none"
    return f"""global
  nbthread 1
  maxconn 15000
  no strict-limits
  tune.ssl.cachesize 100000
defaults
  mode http
  timeout client 600s
  timeout server 60s
  timeout connect 5s
  timeout http-keep-alive 600s
  option http-keep-alive
  http-reuse always
frontend all
  bind 127.0.0.1:{plain} backlog 4096
  bind 127.0.0.1:{tls} ssl crt {cert}.both alpn h2,http/1.1 backlog 4096
  option forwardfor
  http-request set-header X-Request-Id %[uuid]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
{pick}
backend api
  server one 127.0.0.1:{upstream_port} pool-max-conn 256
backend none
  http-request return status 404
"""


def envoy(plain, tls, admin, upstream_port, cert, routes):
    import json
    to = {"cluster": "api", "timeout": "60s"}
    listed = [{"match": {"prefix": f"/api-{n}/"}, "route": to} for n in range(routes)]
    listed = listed or [{"match": {"prefix": "/"}, "route": to}]
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in", "codec_type": "AUTO", "use_remote_address": True,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": listed}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    secure = {"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [
            {"certificate_chain": {"filename": f"{cert}.pem"}, "private_key": {"filename": f"{cert}.key"}}]}}}

    def address(port):
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    listeners = [
        {"name": "plain", "address": address(plain), "filter_chains": [{"filters": filters}]},
        {"name": "tls", "address": address(tls), "filter_chains": [{"filters": filters, "transport_socket": secure}]},
    ]
    endpoint = {"endpoint": {"address": address(upstream_port)}}
    limits = {"thresholds": [{"max_connections": 30000, "max_requests": 30000, "max_pending_requests": 30000}]}
    cluster = {"name": "api", "type": "STATIC", "circuit_breakers": limits,
               "load_assignment": {"cluster_name": "api", "endpoints": [{"lb_endpoints": [endpoint]}]}}
    return json.dumps({"admin": {"address": address(admin)},
                       "static_resources": {"listeners": listeners, "clusters": [cluster]}})


def tollgate(plain, tls, admin, upstream_port, cert, records, routes):
    """`records`: None for off, else what follows `records:`. With many routes, each of as many services has four."""
    target = f"http://127.0.0.1:{upstream_port}"
    services, listed = [f"  - {{name: api, targets: [\"{target}\"]}}"], ["  - {name: api, service: api}"]
    if routes:
        services = [f"  - {{name: api-{n}, targets: [\"{target}\"]}}" for n in range(routes)]
        listed = [f"  - {{name: api-{n}-{part}, service: api-{n}, paths: [\"/api-{n}/{part}\"]}}"
                  for n in range(routes) for part in ("members", "claims", "files", "status")]
    return f"""node_id: bench
workers: 1
listeners:
  - {{name: plain, address: "127.0.0.1:{plain}"}}
  - name: tls
    address: "127.0.0.1:{tls}"
    tls: {{certificates: [{{certificate: {cert}.pem, key: {cert}.key}}]}}
services:
""" + "\n".join(services) + "\nroutes:\n" + "\n".join(listed) + f"""
admin: {{address: "127.0.0.1:{admin}"}}
records: {records or "{enabled: false}"}
"""
