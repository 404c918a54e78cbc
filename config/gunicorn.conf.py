"""gunicorn for `python -m relay serve`. Address and port come from RELAY_HOST and RELAY_PORT."""

import os

# The kind of worker is not said here: it is relay/runtime/web_worker.py's, which ends what waits for bytes that never
# come.
# Many senders wait at the same time for the same disk; a greenlet costs less than a thread.
workers = min(2, os.cpu_count() or 1)
# Of each worker. Near it, connections that wait for bytes are closed, the unproven first, so that the next one gets in.
worker_connections = 2000

# A worker that has not answered its arbiter for so long is stuck. A stop waits for requests in flight: a small body has
# 15 s to arrive (relay/runtime/web_worker.py), and then there is its answer.
timeout = 30
graceful_timeout = 20
# So long a connection may wait for its next request, and a request line with its headers may take.
keepalive = 5

# A request line may hold a token in its query, so there is no access log: the relay writes a line of its own an event.
accesslog = None
errorlog = "-"
loglevel = "warning"

# No admin socket: the container's root is read-only, and nobody speaks to it.
control_socket_disable = True

# Nobody: which proxy is believed is RELAY_TRUSTED_PROXIES (relay/web/proxies.py). Whom gunicorn believes can also
# move paths, with a header SCRIPT_NAME: /hooks/login, which a proxy lets through, would be the login.
forwarded_allow_ips = ""

limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 16380
