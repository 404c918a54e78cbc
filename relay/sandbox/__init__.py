"""A pretend Bitrix24 portal: it speaks REST as the real one does, and breaks on demand as the real one might.

For demonstrations, tests and fault drills. It may import Flask, gevent and the standard library only, nothing of
this project, so that it can never share a misunderstanding with the client it is there to test.

    server   the socket: WSGI server in a thread, connections that break
    app      the addresses: REST, the token server, the control panel
    rest     one REST request: front end, faults, answer
    dispatch one method call: found, authorised, within limits, run, timed
    methods  what each REST method does (starting, instances, listing, making, item_lists, duplicates, users, ...)
    crm      the items of the CRM, and in which shapes they are kept
    portal   everything the portal remembers, behind one lock
"""
