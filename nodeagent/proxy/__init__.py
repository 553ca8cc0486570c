"""The route of one request: identify, bind, balance, dial."""
