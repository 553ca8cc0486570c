"""More than one core: N processes on the same ports under one supervisor. Nothing of it runs with one worker."""
