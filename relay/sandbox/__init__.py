"""A pretend Bitrix24 portal: it speaks REST as the real one does, and breaks on demand as the real one might.

For demonstrations, tests and fault drills. It may import Flask, gevent and the standard library only, nothing of
this project, so that it can never share a misunderstanding with the client that it tests.

README.md says what it can be told to do.

    server      the socket: a WSGI server in a thread, and connections that break
    app         the addresses: REST, the authorisation server, pages, lists, knobs
    authorisation, application_pages    the addresses of the authorisation server, and those for applications
    rest        one REST request, from the bytes to the answer
    bizproc, crm_methods, users, talking, application_methods     the methods of REST
    frames, application_events      what comes to the handlers of an application, by a browser and by the portal
    portal      everything that the portal remembers, behind one lock
    crm, applications   the items of the CRM; the local applications and their tokens
    callers, faults, limits, lists, workflows, answers, php, settings, orders, outgoing   what the others are made of
"""
