"""One portal as a worker knows it: credential, tokens, paced client, limiter, gatekeeper."""
