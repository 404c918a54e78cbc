"""The command line: `python -m relay`. It parses, calls an operation, and prints."""
