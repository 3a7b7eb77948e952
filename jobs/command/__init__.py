"""What makes a verb a command: configuration, console, errors."""
