"""When is it checked? The TLS edge: gate, engine, and the doors for asyncio."""
