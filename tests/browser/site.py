"""A site with a form, on an origin of its own: pages as its owner would write them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from string import Template

FORM = """
<!doctype html><html lang="en"><title>Contact</title><h1>Contact</h1>
<form action="$relay/hooks/$source" method="post" enctype="$coding">
  <p><label>Name <input name="name"></label>
  <p><label>E-mail <input name="email"></label>
  <p><label>Guests <input name="guests"></label>
  <p hidden><label>Leave this empty <input name="_gotcha" tabindex="-1" autocomplete="off"></label>
  <p><button>Send</button>
</form>
"""
SCRIPTED = """
<!doctype html><html lang="en"><title>Contact, by script</title><h1>Contact</h1>
<script>
  async function send(body, headers, source = "$source") {
    try {
      const answer = await fetch("$relay/hooks/" + source, {method: "POST", body, headers});
      return {status: answer.status, body: await answer.json(), again: answer.headers.get("Retry-After")};
    } catch (error) {
      return {status: 0, body: String(error)};
    }
  }
  function filled(kind, fields) {
    const made = new kind();
    for (const [name, value] of Object.entries(fields)) made.append(name, value);
    return made;
  }
  const ways = {
    json: (fields, source) => send(JSON.stringify(fields), {"Content-Type": "application/json"}, source),
    formData: (fields, source) => send(filled(FormData, fields), {}, source),
    parameters: (fields, source) => send(filled(URLSearchParams, fields), {}, source),
    token: (fields, source) => send(JSON.stringify(fields),
      {"Content-Type": "application/json", "X-Relay-Token": "$token"}, source),
  };
</script>
"""
PAGES = {
    "/": Template("<!doctype html><html lang=en><title>The site</title><h1>The site</h1>"),
    "/form": Template(FORM),
    "/copied": Template("<!doctype html><html lang=en><title>Contact</title>$copied"),
    "/scripted": Template(SCRIPTED),
    "/thanks": Template("<!doctype html><html lang=en><title>Thanks</title><h1>The site says thanks</h1>"),
}


@dataclass
class Site:
    """The site while it is there. values: what its pages are filled with; a query adds to them."""

    port: int
    values: dict[str, str]

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def other_origin(self) -> str:
        """The same pages under a name that nobody has let in."""
        return f"http://localhost:{self.port}"


@contextlib.contextmanager
def served(port: int) -> Iterator[Site]:
    """Serve the pages until the end of the `with`."""
    site = Site(port, {})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            page = PAGES.get(path)
            self.send_response(200 if page else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            if page:
                chosen = dict(pair.split("=", 1) for pair in query.split("&") if "=" in pair)
                values = {"source": "contact", "coding": "application/x-www-form-urlencoded", **chosen}
                self.wfile.write(page.safe_substitute(site.values | values).encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
