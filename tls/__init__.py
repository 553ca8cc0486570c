"""Who is on the other side: what TLS is asked for, and the contexts that are made of it."""
