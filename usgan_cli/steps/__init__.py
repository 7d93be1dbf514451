"""What each command does: find its inputs, describe the step, call the domain, return the outcome."""
