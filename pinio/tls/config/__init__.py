"""What was asked for, frozen: expectation, TLS settings, profile."""
