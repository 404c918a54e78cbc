"""The shared state of a portal: gate, knowledge, questions, jobs, rollback detection."""
