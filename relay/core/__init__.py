"""What everything is made of: exceptions, ids, events, the machine of a delivery, reasons in words, logs, processes.

Standard library only, beside the logger and libphonenumber. It knows no room above it.
"""
