"""Contexts and TLS objects: the one a library holds, and the private ones that do the work."""
