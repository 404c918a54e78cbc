"""Speaking HTTP and other protocols to others: with an end, with a bound, and by no environment variable's rules."""
