"""A registry echoes the credential that it was sent, with invisible characters inside, to get it printed."""

import base64
import http.server
import json
import os
import threading

import lib

USER, SECRET = "attack-user", "gldt-Xy7Qp9zR2wLmN4Kc"
INSIDES = ["\x01", "\u200b", "\u061c", "\u202e", "\x1b[0m", "\U000e0041", "\u00ad", "\x7f", ""]


def spread(text, inside):
    return "".join(c + inside for c in text)


class Echo(http.server.BaseHTTPRequestHandler):
    """Basic for everybody; who logs in gets the credential back in the words of an error."""

    protocol_version = "HTTP/1.1"
    inside, form, status = "", "plain", 403

    def do_GET(self):
        sent = self.headers.get("Authorization", "")
        if not sent.startswith("Basic "):
            self.answer(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
            return
        both = base64.b64decode(sent[6:]).decode()
        secret = both.split(":", 1)[1]
        text = {"plain": secret, "base64": sent[6:], "alone": base64.b64encode(secret.encode()).decode(),
                "hex": secret.encode().hex()}[self.form]
        words = spread(text, self.inside)
        body = json.dumps({"errors": [{"code": "DENIED", "message": f"no access with {words} today"}]}).encode()
        if self.path.rstrip("/") == "/v2" and self.status == 403:
            self.answer(200, b"{}", {})
        else:
            self.answer(self.status, body, {"Content-Type": "application/json"})

    do_HEAD = do_GET

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def letters(text):
    return "".join(c for c in text if c.isascii() and c.isalnum()).lower()


def attack(case):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    at = f"127.0.0.1:{server.server_port}"
    secrets = [SECRET, base64.b64encode(f"{USER}:{SECRET}".encode()).decode(),
               base64.b64encode(SECRET.encode()).decode(), SECRET.encode().hex()]
    file = case.write("credential", f"{USER}\n{SECRET}\n", 0o600)
    heard = False
    for status in (403, 401):
        for form in ("plain", "base64", "alone", "hex"):
            for inside in INSIDES:
                Echo.inside, Echo.form, Echo.status = inside, form, status
                done = case.call("moorline", "--insecure-registry", at, "-vv", "resolve", f"{at}/a/b:v1",
                                 "--credential-file", file)
                shown = done.stdout + done.stderr
                heard = heard or "no access with" in shown
                for secret in secrets:
                    if letters(secret) in letters(shown):
                        return lib.broken(f"{form} with {inside!r} inside came out: {done.stderr.strip()[-300:]!r}")
    if not heard:
        raise RuntimeError(f"the echo was never printed: {shown}")
    server.shutdown()
    return None


lib.main(attack)
