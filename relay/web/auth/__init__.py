"""Who may come in: passwords, tokens and sessions, how slowly they are guessed, which proxies are believed."""
