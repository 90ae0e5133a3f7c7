"""What is true? Values and pure functions: no asyncio, TLS objects, clock or log."""
