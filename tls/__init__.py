"""Who is on the other side: identities and contexts. Nothing speaks TLS yet; the import order is kept for it."""
