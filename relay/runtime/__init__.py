"""What keeps the relay running on a machine: `up`, gunicorn and its worker, the embedded Valkey, secrets in a file."""
