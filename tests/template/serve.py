#!/usr/bin/env python3
"""Stands for where a release's files lie, on loopback: serve.py FOLDER TOKEN-FILE PORT PORT-OF-OBJECTS

    http://127.0.0.1:PORT/NAME                   the file, for everybody
    http://127.0.0.1:PORT/api/v4/packages/NAME   as GitLab's generic packages: only with the job token (basic auth), and a
                                                 redirect to the object storage, another host
    http://127.0.0.1:PORT-OF-OBJECTS/NAME        the object storage: 400 for whoever brings a credential
"""

import base64
import functools
import http.server
import sys
import threading

folder, token_file, port, objects = sys.argv[1:]
with open(token_file) as file:
    WANTED = "Basic " + base64.b64encode(f"gitlab-ci-token:{file.read().strip()}".encode()).decode()


class Files(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if not self.path.startswith("/api/v4/packages/"):
            return super().do_GET()
        if self.headers.get("Authorization") != WANTED:
            return self.send_error(401)
        self.send_response(302)
        self.send_header("Location", f"http://localhost:{objects}/{self.path.rsplit('/', 1)[1]}")
        self.end_headers()


class Objects(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if "Authorization" in self.headers or "Job-Token" in self.headers:
            return self.send_error(400, "a credential came along")
        return super().do_GET()


def serve(handler, number):
    http.server.ThreadingHTTPServer(("127.0.0.1", int(number)), functools.partial(handler, directory=folder)).serve_forever()


threading.Thread(target=serve, args=(Objects, objects), daemon=True).start()
serve(Files, port)
