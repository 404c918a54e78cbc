"""A pretend Bitrix24 portal: it speaks REST as the real one does, and breaks on demand as the real one might.

For demonstrations, tests and fault drills. It may import Flask, gevent and the standard library only, nothing of
this project, so that it can never share a misunderstanding with the client that it tests.

    server      the socket: a WSGI server in a thread, and connections that break
    app         the addresses: REST, the token server, the page, the knobs
    rest        one REST request, from the bytes to the answer
    bizproc, crm_methods, users     the methods of REST
    crm         the items of the CRM
    portal      everything that the portal remembers, behind one lock
    callers, faults, limits, lists, workflows, answers, php, settings   what the others are made of
"""
