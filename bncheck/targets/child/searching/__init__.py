"""How code that names say nothing about is found to be spoken to. Only the child process imports this."""
