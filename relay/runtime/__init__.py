"""Processes of the relay on a machine: `up`, gunicorn and its worker, the embedded Valkey, backups, secrets in a
file.
"""
