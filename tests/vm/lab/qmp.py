# SPDX-License-Identifier: LGPL-2.1-or-later
"""QEMU's control socket. By hand, because Debian 12 has no package of qemu.qmp, and this is all that the lab needs of it."""

import json
import socket
import time

from .errors import LabError, MachineDead


class Qmp:
    """QEMU's control socket: one command at a time; events are kept until somebody asks for them."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(60)
        self.buffer = b""
        self.events = []
        self.number = 0
        self._read()
        self.command("qmp_capabilities")

    def _read(self, timeout=60):
        deadline = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            block = self.socket.recv(65536)
            if not block:
                raise MachineDead("QEMU closed its control socket")
            self.buffer += block
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def command(self, name, **arguments):
        # A scenario's time limit may have cut off the wait for an earlier answer: numbers tell whose this one is.
        self.number += 1
        message = {"execute": name, "id": self.number}
        if arguments:
            message["arguments"] = arguments
        try:
            self.socket.sendall(json.dumps(message).encode() + b"\n")
            while True:
                answer = self._read()
                if "event" in answer:
                    self.events.append(answer)
                elif answer.get("id") != self.number:
                    continue
                elif "error" in answer:
                    raise LabError(f"QMP {name}: {answer['error']['desc']}")
                else:
                    return answer.get("return")
        except OSError as error:
            raise MachineDead(f"QMP {name}: {error}") from error

    def wait_event(self, matches, timeout):
        """The first event, seen or to come, for which matches(event) holds; it is taken out of the list."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                if matches(event):
                    self.events.remove(event)
                    return event
            try:
                answer = self._read(max(0.01, deadline - time.monotonic()))
            except TimeoutError:
                return None
            except OSError as error:
                raise MachineDead(f"QMP: {error}") from error
            if "event" in answer:
                self.events.append(answer)
