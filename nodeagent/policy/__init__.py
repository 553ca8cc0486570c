"""Who may call what: decisions about requests by the rules of a router. Pure."""
