"""One connection: from the loop's bytes to the application's, over a TLS engine."""
