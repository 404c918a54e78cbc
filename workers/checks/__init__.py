"""Would it work? The preflight of `ping`, drift between rules and templates, questions of persons. Starts nothing."""
