"""relay RECEIVES AND REMEMBERS: it takes webhooks, decides what they mean and keeps the record.

It never holds a portal credential and never opens a connection to a portal; that is what `workers` is for.
"""

__version__ = "1.0.0"
"""The number of this version, of web and workers alike (.github/CHANGELOG.md says what each one changed)."""
