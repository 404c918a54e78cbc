"""The basic parts: exceptions, ids, events, plans, the states of a delivery, faults, reasons in words, logs, threads.

Standard library only, beside the logger and libphonenumber. It knows no room above it.
"""
