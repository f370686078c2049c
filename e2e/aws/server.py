"""Runs aws for the command of this directory: each call in a process of its own,
forked from this one, which has imported awscli. That takes Python longer than all
that most calls do. What runs is the aws of the system as it is.

A client connects to the socket that is standard input and sends its standard
streams, and in a line of JSON its arguments, environment and directory. It is sent
the exit code, negative if a signal ended the call.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
import time

environment = dict(os.environ)

import awscli.clidriver  # noqa: E402
import awscli.handlers  # noqa: E402, F401

# What an import has set, each call would set for itself.
added = {k: v for k, v in os.environ.items() if environment.get(k) != v}


def receive(client):
    """Returns a request and the descriptors that came with it."""
    text, fds, _, _ = socket.recv_fds(client, 1 << 16, 3)
    while not text.endswith(b"\n"):
        more = client.recv(1 << 16)
        if not more:
            sys.exit("aws: half a request")
        text += more
    return json.loads(text), fds


def become(request, fds):
    """Makes this process what a call from the client's would be."""
    for i, fd in enumerate(fds):
        os.dup2(fd, i)
        os.close(fd)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.environ.update(added)
    time.tzset()
    sys.argv = ["aws", *request["arguments"]]


def attend(client):
    """Starts a call and returns in its process. The one that it is called in waits
    for the call and ends; a client that goes away ends the call."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, fds = receive(client)
    call = os.fork()
    if call == 0:
        client.close()
        become(request, fds)
        return
    for fd in fds:
        os.close(fd)
    ready, _, _ = select.select([client, os.pidfd_open(call)], [], [])
    if client in ready:
        os.kill(call, signal.SIGTERM)
    else:
        client.sendall(b"%d" % os.waitstatus_to_exitcode(os.waitpid(call, 0)[1]))
    os._exit(0)


def serve(listener):
    """Returns in each process that is to run aws."""
    while True:
        client, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            attend(client)
            return
        client.close()


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who attend
    gc.freeze()  # collecting would write to all the pages that processes share
    listener = socket.socket(fileno=os.dup(0))
    listener.setblocking(True)
    serve(listener)
    sys.exit(awscli.clidriver.main())
