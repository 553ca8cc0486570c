"""HTTP/1.0 and HTTP/1.1 on the wire (RFC 9110, RFC 9112)."""
