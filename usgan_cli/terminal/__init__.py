"""What a user sees: options, the console, a command's session, and the live display of a study."""
