"""What callers see when endpoints become slow or fail: published experiments run again, on loopback, beside peers."""
