#!/usr/bin/env python3
"""Hands connections on: forward.py ADDRESS:PORT TO-ADDRESS:TO-PORT, until it is ended."""

import socket
import socketserver
import sys
import threading

(listen, port), (host, to) = (word.rsplit(":", 1) for word in sys.argv[1:])


def pump(source, sink):
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side is gone, and so is the connection


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        with socket.create_connection((host, int(to))) as there:
            back = threading.Thread(target=pump, args=(there, self.request))
            back.start()
            pump(self.request, there)
            back.join()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server((listen, int(port)), Handler).serve_forever()
