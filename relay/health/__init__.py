"""Health: one assessment for the first page, the alerts, /metrics and `workers ping`. It changes nothing."""
