"""Checks of a portal: `ping`, drift of the rules, questions from the dashboard. Only `probe` starts anything."""
