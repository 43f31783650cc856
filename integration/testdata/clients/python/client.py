"""An ordinary client of the service orders.

It knows the service's base URL and nothing of a proxy; HTTP_PROXY is urllib's business.
Since urllib keeps no connection, http.client shows that one can be kept.
"""

import http.client
import json
import sys
import urllib.parse
import urllib.request

base = sys.argv[1]


def report(name, answer):
    """Prints what became of a request."""
    print(json.dumps({"case": name, "status": answer.status, "body": answer.read().decode()}))


def send(name, path, **how):
    with urllib.request.urlopen(urllib.request.Request(base + path, **how), timeout=20) as answer:
        report(name, answer)


send("get", "/api/orders")
send("post", "/api/orders", data=b'{"item": "tea"}', headers={"Content-Type": "application/json"})
# Of a length that nobody knows: it goes in chunks.
send("upload", "/items/7", data=(piece for piece in (b"one ", b"two ", b"three")), method="PUT")
send("again", "/api/orders")

if "--keep" in sys.argv:
    kept = http.client.HTTPConnection(urllib.parse.urlsplit(base).netloc, timeout=20)
    for name in ("kept", "kept again"):
        kept.request("GET", "/api/orders")
        report(name, kept.getresponse())
    kept.close()
