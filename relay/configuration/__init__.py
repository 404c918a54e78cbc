"""The operator's configuration, checked: files with their lines, settings of the environment, portals, alerts.

Every mistake at once. It opens no connection and keeps nothing.
"""
