"""When a peer is judged: the gate, the judge, the sessions it may resume."""
