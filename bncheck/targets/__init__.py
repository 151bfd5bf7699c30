"""What does anybody's code answer? Found in a file, asked in a process of its own."""
