"""Who is told that something is wrong, and how a message gets out."""
