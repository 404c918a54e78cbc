"""What is shared about a portal: its gate, what was learned of it, what is asked of it, what is said of it."""
