"""Is that program pinned? Runs any program with its connections led to an interceptor.

What `pinio audit` does, without the command line. Theory of operation: the program is made to trust
a CA of ours (`trust`), its connections are led to an interceptor (`interceptor`) by a network
namespace on Linux as root (`namespace`), by proxy variables elsewhere; what the interceptor saw of
each host is a verdict (`verdict`). Needs the extra `testing`.
"""
