"""One portal as a worker knows it: credential, paced client, claims, learned pace, gatekeeper."""
